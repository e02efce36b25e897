"""Code that the commands share.

It has the repository's root, an error for the user, values of arguments, and free ports.
"""
