"""The command line `unrip`."""

from unrip.cli.app import main

__all__ = ["main"]
