"""Tests of mails and charts: what is written, and how it looks."""
