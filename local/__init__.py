"""The stack on one machine.

OpenSearch and the Lambda runtime are real. CloudWatch Logs and API Gateway are played as
template.yaml sets them up.
"""
