"""The commands. Each one reads the clock and the settings, calls the pipeline, and prints.

Exit status: 0 all is well; 1 it ran but something needs attention, with one line on standard
error; 2 wrong usage or settings. Slow imports are inside the functions that need them.
"""
