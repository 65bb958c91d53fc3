"""Tests of mails and charts: their content and their look."""
