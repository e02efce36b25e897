"""The figures that the README states, each against its rival, in one run."""
