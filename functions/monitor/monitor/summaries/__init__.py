"""The numbers that the monitor keeps of predictions: read, stored and joined to windows."""
