"""The monitor: streams of predictions judged against what was accepted of them."""
