"""`easeback`, and `python -m worker`."""

from worker import search_path

# `python -m` and empty entries in PYTHONPATH search the current folder first, so nothing else may
# be imported before this.
search_path.leave_out_the_current_folder()

import signal  # noqa: E402

# Ctrl-C while modules are imported ends the process without a traceback. `main` handles it after.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from worker.cli.app import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()
