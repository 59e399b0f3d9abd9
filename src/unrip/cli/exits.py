"""Exit codes, the same for every command (docs/reference/cli.md), and the one way a command fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from unrip.bus.ports import BusError, BusUnavailable
from unrip.cli.terminal import write
from unrip.frame.settings import SettingsError
from unrip.local.errors import LocalError
from unrip.net.secret_file import SecretFileError
from unrip.store.errors import StoreError, StoreUnavailable


class Exit(IntEnum):
    """What a script may rely on."""

    OK = 0
    #: The command worked and the answer is no: refused, not trade-ready, not found, not complete.
    NO = 1
    #: Wrong arguments or settings.
    USAGE = 2
    #: A service, broker, database or tool could not be reached or used.
    UNREACHABLE = 3


class CommandFailed(Exception):  # noqa: N818 - it states what is the case
    """A command cannot go on; one line says what, where and the remedy."""

    def __init__(self, message: str, *, code: Exit = Exit.UNREACHABLE) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn every foreseen error into one line on stderr and an exit code; none becomes a traceback."""
    try:
        yield
    except CommandFailed as error:
        fail(str(error), error.code)
    except (SettingsError, SecretFileError) as error:
        fail(str(error), Exit.USAGE)
    except BusUnavailable as error:
        fail(f"Kafka does not answer ({error}): does it run where [kafka] bootstrap names it?", Exit.UNREACHABLE)
    except StoreUnavailable as error:
        fail(f"{error}: does it run where [postgres] url_file or UNRIP_POSTGRES__URL names it?", Exit.UNREACHABLE)
    except (LocalError, BusError, StoreError) as error:
        fail(str(error), Exit.UNREACHABLE)
    except OSError as error:  # a disk that is full, a folder that is read-only or gone: wherever it happens
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}: make room there or change its permissions", Exit.UNREACHABLE)


def fail(message: str, code: Exit) -> None:
    """Print it on one line and leave."""
    write(f"unrip: {message}", err=True)
    raise SystemExit(code)
