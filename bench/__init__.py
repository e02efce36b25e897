"""Measures this project, and other programs that do the same work (docs/performance.md)."""
