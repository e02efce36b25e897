"""Statistical tests. They work on arrays of numbers, and read no documents."""
