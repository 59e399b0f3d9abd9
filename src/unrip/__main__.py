"""The command `unrip`, also as `python -m unrip`."""

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line; a service that is told to stop while it still loads has nothing to drain and ends well."""
    if sys.argv[1:2] == ["run"]:
        signal.signal(signal.SIGTERM, _leave)
    from unrip.cli.app import main as command_line  # noqa: PLC0415 - this takes most of a start

    command_line()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
