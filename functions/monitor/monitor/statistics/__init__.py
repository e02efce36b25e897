"""Statistical tests on arrays of numbers, without any access to data."""
