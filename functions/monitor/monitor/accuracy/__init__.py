"""Joins right labels to predictions, computes the accuracy, and composes messages about it."""
