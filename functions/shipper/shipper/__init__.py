"""The shipper function.

CloudWatch Logs invokes it with each batch of log lines. It indexes the lines in OpenSearch.
"""
