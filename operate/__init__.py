"""Commands that a person runs when documents are missing: replay, backfill, reconcile. Nothing of it is deployed."""
