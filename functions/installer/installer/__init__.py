"""Install the index template, retention policy, roles and saved objects of `kibana/`.

The package is both a command line and a CloudFormation custom resource.
"""
