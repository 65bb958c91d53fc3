"""What tests and benches both put the worker into: made runs, files and services on loopback.

Imports neither of them.
"""
