"""Several workers on one PostgreSQL database: each job is queued once and done once."""
