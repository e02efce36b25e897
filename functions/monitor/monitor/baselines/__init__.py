"""Computes baselines from past days, checks proposed baselines, and puts baselines into use."""
