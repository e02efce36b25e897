"""What one would click in Kibana, as files: so far the index template, which is the index contract."""
