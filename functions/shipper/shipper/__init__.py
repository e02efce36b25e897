"""Subscription payload to documents to OpenSearch: what CloudWatch Logs invokes with each batch of log lines."""
