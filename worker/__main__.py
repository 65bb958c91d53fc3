"""`easeback`, and `python -m worker`."""

from worker.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
