"""Compares the predictions of a model in a log group with their accepted baseline."""
