"""Asks a deployed function questions with known answers, and judges its answers."""
