"""The demo: the season of made-up runners, played through the real worker in seconds.

    runner.py       who runs what, and when
    fit.py          a run as the file that a watch would write
    simulation.py   the watched folder, the jobs, and a clock that steps from event to event
    folder.py       the folder of the demo: made, or cleared of a former one
    page.py         the mails as pages, and one page that lists them

Only the runners and the time are made up: the files are FIT files, and store, inbox, detector,
composer and mailbox are those of `easeback run`. The operator's own settings, data and
environment are neither read nor touched.
"""
