"""Shared by the commands: where the repository is, an error for its user, values of arguments, free ports."""
