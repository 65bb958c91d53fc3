"""What docs/security.md promises, row by row: `file::test` there is a test here or elsewhere."""
