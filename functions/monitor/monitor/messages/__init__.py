"""Turns findings into few messages to people, and sends each message once."""
