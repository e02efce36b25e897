"""Labels that arrive later: joined to predictions, turned into accuracy and its messages."""
