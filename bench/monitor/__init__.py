"""Measures how many drifts the monitor detects, and how often it raises a false alarm.

The texts of these measurements were not used when the monitor was built.
"""
