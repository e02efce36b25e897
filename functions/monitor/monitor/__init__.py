"""The monitor: streams of predictions judged against their accepted baselines."""
