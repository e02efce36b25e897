"""Checkpoints like those that a team brings, trained on small data without a download.

`make test-full` turns each checkpoint into a model folder.
"""
