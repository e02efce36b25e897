"""Reads summaries (counts of predictions), stores them, and combines them into windows."""
