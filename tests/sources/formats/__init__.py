"""File formats: what each reader makes of sound, odd and broken files."""
