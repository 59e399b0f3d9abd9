"""`python -m unrip`."""

from unrip.cli.app import main

main()
