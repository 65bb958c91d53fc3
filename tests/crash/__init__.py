"""What survives a hard kill: the real worker, killed at every boundary it has.

    story.py       a scripted fortnight: files, replaced files, weekly hours, alerts, refused mail,
                   runs at Strava that are edited and deleted, answers to how it feels
    runners.py     what runners do at their pages: connect Strava, say how it feels
    launcher.py    forks a warmed interpreter into one worker process after another
    watch.py       what the process is doing: tables written, addresses requested, steps of SMTP
    boundaries.py  counts commits, syncs, renames, steps of SMTP and HTTP inside the worker, and
                   kills it with SIGKILL at a given one
    sink.py        a mail server that remembers the accepted mails
    strava.py      the simulated Strava on the story's clock, whose refresh tokens work once
    fortnight.py   runs the story: undisturbed, killed at one boundary, killed again and again
    promises.py    what must hold at the end, each promise a check of its own
    mutants.py     wrong orders of work, to show that the checks can fail

Nothing in `worker/` knows about this: the boundaries are found by wrapping the standard library and
SQLAlchemy in the forked process, before the worker starts. `python -m tests.crash` is the full
form; the tests here are the small one.
"""
