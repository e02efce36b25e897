"""Commands for people when documents are missing: replay, backfill, reconcile.

They are not deployed.
"""
