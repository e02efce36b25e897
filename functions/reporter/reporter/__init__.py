"""A Lambda function that puts the report of the last day into a bucket."""
