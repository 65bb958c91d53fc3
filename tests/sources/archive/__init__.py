"""Tests of account exports and tables of one's own."""
