"""Reads summaries (counts of predictions), stores them, and joins them to windows."""
