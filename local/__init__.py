"""The stack on one machine.

OpenSearch and the Lambda runtime are real. CloudWatch Logs and API Gateway are emulated, with the
settings of template.yaml.
"""
