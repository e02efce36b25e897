"""The function behind `POST /predict`: it answers requests with predictions, and logs one record per sentence."""
