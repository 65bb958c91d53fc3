"""Tests of the sources: file formats, archives, and the connected services."""
