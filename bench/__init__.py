"""Measures the project and other programs for the same work, for docs/performance.md."""
