"""The demo: a season of simulated runners, played through the real worker in seconds.

    runner.py       who runs what, and when
    fit.py          a run as the file that a watch would write
    simulation.py   the watched folder, the jobs, and a clock that advances from event to event
    folder.py       the demo's folder: created, or cleared of an earlier demo
    page.py         the mails as pages, and one page that lists them

Only the runners and the time are simulated. The files are FIT files, and store, inbox, detector,
composer and mailbox are those of `easeback run`. The demo neither reads nor changes the operator's
own settings, data and environment.
"""
