"""File formats: each reader's result for valid, unusual and broken files."""
