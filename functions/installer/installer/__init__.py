"""What one would click in Kibana, as files, with the index template, the retention policy, and the installer of them all."""
