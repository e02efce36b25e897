"""Measures the figures of docs/performance.md, and the same figures of rivals, in one run."""
