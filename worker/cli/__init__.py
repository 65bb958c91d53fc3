"""The commands. Each one reads the clock and the settings, calls the pipeline, and prints.

Exit status: 0 all well; 1 it ran but something needs attention, said in one line on standard
error; 2 wrong usage or settings. Heavy imports wait until a command needs them.
"""
