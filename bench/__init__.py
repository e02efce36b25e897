"""Measures the figures of docs/performance.md, each compared with a rival, in one run."""
