"""The inference function, behind `POST /predict`.

It answers requests with predictions, and logs one record per sentence.
"""
