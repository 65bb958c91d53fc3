"""Tests of imports, over a real store."""
