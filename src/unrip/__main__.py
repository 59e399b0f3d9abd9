"""`python -m unrip`."""

from unrip.cli import main

main()
