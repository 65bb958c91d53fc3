"""`easeback`, and `python -m worker`."""

from worker import search_path

# `python -m` looks for modules in the current folder first, and so does an empty part of
# PYTHONPATH: nothing more may be imported before.
search_path.leave_out_the_current_folder()

from worker.cli.app import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()
