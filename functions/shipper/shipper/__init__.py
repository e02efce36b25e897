"""The shipper function.

It indexes log lines in OpenSearch. CloudWatch Logs invokes it with each batch of lines. With
`Delivery=kinesis`, a Kinesis stream invokes it instead.
"""
