"""Judges streams of predictions against their accepted baselines."""
