"""The stack on one machine: real OpenSearch, the real Lambda runtime, and CloudWatch's and API Gateway's parts after the template."""
