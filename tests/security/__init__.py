"""Tests of the promises in docs/security.md, which names them as `file::test`."""
