"""The shipper: CloudWatch Logs invokes it with each batch of log lines, and it indexes them in OpenSearch."""
