"""Measures the project and its rivals in one run, for docs/performance.md."""
