"""What an athlete brings along: files, folders, and whole accounts' exports with their tables.

`manifest` lists what is there, `entries` reads it one activity at a time, `tables` and
`garmin_summaries` read the tables of an export.
"""
