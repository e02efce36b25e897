"""The commands to use when documents are missing: replay, backfill, reconcile.

A person runs them. They are not deployed.
"""
