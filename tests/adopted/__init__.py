"""Small checkpoints, trained without a download, in place of the checkpoints of users.

`make test-full` turns each checkpoint into a model folder.
"""
