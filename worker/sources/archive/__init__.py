"""What an athlete imports: files, folders, and exports of whole accounts with their tables.

`manifest` lists what there is, and `entries` reads it one activity at a time.
"""
