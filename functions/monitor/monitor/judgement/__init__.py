"""Judges windows of predictions against a baseline, and a stream over time."""
