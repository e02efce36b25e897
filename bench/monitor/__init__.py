"""Measures how many drifts the monitor detects, and how often it raises a false alarm.

No text of these measurements was used to build the monitor.
"""
