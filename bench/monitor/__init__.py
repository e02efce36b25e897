"""Measures how many drifts the monitor detects, and how often it is wrong.

The measurements use text that was not used to build the monitor.
"""
