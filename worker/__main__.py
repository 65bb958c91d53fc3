"""`easeback`, and `python -m worker`."""

import gc

from worker import search_path

# `python -m` looks for modules in the current folder first, and so does an empty part of
# PYTHONPATH: nothing more may be imported before.
search_path.leave_out_the_current_folder()

# What starting makes is kept to the end. Python would look for garbage among it hundreds of times,
# a good part of a short command's time; the worker finds its garbage as well in larger steps.
gc.set_threshold(50_000)

from worker.cli.app import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()
