"""What survives a hard kill: the real worker, killed at every boundary it has.

    story.py       a scripted fortnight: files, replaced files, weekly hours, alerts, refused mail,
                   runs at Strava that are edited and deleted, answers to how it feels
    runners.py     what runners do at their pages: connect Strava, say how it feels
    launcher.py    forks a warmed interpreter into one worker process after another
    watch.py       what the process is doing: tables written, addresses asked, steps of SMTP
    boundaries.py  counts commits, syncs, renames, steps of SMTP and HTTP inside the worker, and
                   kills it with SIGKILL at the one it is told
    sink.py        a mail server that remembers what it took
    strava.py      the made Strava on the story's clock, whose refresh tokens work once
    fortnight.py   lives the story through: dry, killed at one boundary, killed again and again
    promises.py    what must hold at the end, each promise a check of its own
    mutants.py     wrong orders of work, to show that the checks can fail

Nothing in `worker/` knows of any of this: the boundaries are found by wrapping the standard
library and SQLAlchemy in the forked process, before the worker begins. `python -m tests.crash`
is the full form; the tests here are the small one.
"""
