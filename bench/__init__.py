"""The figures of docs/performance.md, each against its rival, in one run."""
