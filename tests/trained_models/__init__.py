"""Trains small checkpoints, which stand for the checkpoints of users.

Nothing is downloaded. `make test-full` turns each checkpoint into a model folder.
"""
