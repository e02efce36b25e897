"""Measures how many drifts the monitor detects and how often it is wrong, on text that was not used to build it."""
