"""Several workers on one PostgreSQL database: queued once, done by whoever is free, never twice."""
