"""Fixtures shared by tests and benchmarks: runs, files and services on loopback.

Imports from neither of them.
"""
