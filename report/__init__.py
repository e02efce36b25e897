"""One page about a stack's predictions: read from OpenSearch, held as frozen values, drawn as HTML."""
