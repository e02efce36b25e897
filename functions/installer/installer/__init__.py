"""Installs the files of `kibana/`: index template, retention, roles and saved objects; a command line and a custom resource."""
