"""Request to prediction to record: what `POST /predict` runs, and the one line each answer leaves in the log."""
