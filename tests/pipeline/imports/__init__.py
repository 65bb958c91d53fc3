"""Tests of the steps from a recording to a mail, over a real store."""
