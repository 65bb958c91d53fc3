"""Imports: files, folders, and exports of whole accounts with their tables.

`manifest` lists them, and `entries` reads them one activity at a time.
"""
