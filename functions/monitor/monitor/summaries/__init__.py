"""Reads and stores summaries, which count predictions, and joins them to windows."""
