"""`easeback`, and `python -m worker`."""

from worker import search_path

# `python -m` and empty entries in PYTHONPATH search the current folder first, so nothing else may
# be imported before this.
search_path.leave_out_the_current_folder()

import gc  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402

# Ctrl-C while modules are imported ends the process without a traceback. `main` handles it after.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# What a command imports stays in memory until it ends, and a command that only reads ends before
# searching it for garbage would pay. Commands that work on set their own threshold.
gc.set_threshold(1_000_000)

# Pydantic would look for plugins in the metadata of every package that is installed.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"

from worker.cli.app import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()
