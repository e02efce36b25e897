"""Baselines: what they hold, how a proposed one is checked, and how one is put into use."""
