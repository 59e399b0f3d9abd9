"""The command line `unrip`."""
