"""Composes messages to people about findings, and sends each message once."""
