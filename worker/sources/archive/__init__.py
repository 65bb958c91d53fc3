"""What an athlete brings along: files, folders, and whole accounts' exports with their tables.

`manifest` lists what is there, `entries` has it read one activity at a time.
"""
