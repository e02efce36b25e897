"""Makes one HTML page about a stack's predictions from the documents in OpenSearch."""
