"""A program to supervise: what to run, how to see that it is ready, how to stop it."""

import re
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unrip.local.account import Account

Ready = Callable[[], bool | Awaitable[bool]]

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process of the desk.

    Programs of the same priority start and stop together; lower priorities start earlier and stop later.

    Raises:
        ValueError: the name or a variable's name cannot be used in the supervisor's configuration or a shell.

    """

    name: str
    #: The command line. Everybody on the machine can read it: secrets go into files that `env` names.
    argv: Sequence[str]
    #: Asked again and again until it is true; a synchronous one runs in a thread and must bound its own waiting.
    ready: Ready
    priority: int = 100
    #: Added to the environment of whoever starts the supervisor; written to a 0700 script only.
    env: Mapping[str, str] = field(default_factory=dict)
    directory: Path = Path("/")
    #: The account to change to; None stays with the caller's.
    account: Account | None = None
    stop_signal: str = "TERM"
    #: Seconds between the stop signal and SIGKILL.
    stop_wait_s: int = 10
    #: How many seconds the program has to become ready.
    ready_within_s: float = 30

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"program name {self.name!r}: use lower case letters, digits and hyphens")
        for name in self.env:
            if not _ENV_NAME.fullmatch(name):
                raise ValueError(f"environment variable {name!r} of {self.name} is no name a shell can export")

    def launch_script(self) -> str:
        """Return the shell script that becomes the program.

        The script, not the supervisor's configuration, holds arguments and environment: a shell quotes any text
        exactly, while that format cuts values at ` ;` and cannot hold both kinds of quotes.
        """
        exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.env.items())]
        # The kernel delivers the stop signal if the supervisor dies, however it dies: nothing can be left behind.
        change = ["setpriv", "--pdeathsig", self.stop_signal, "--"]
        if self.account is not None:
            change = self.account.become(stop_signal=self.stop_signal)
        command = shlex.join([*change, *self.argv])
        enter = f"cd {shlex.quote(str(self.directory))} || exit"
        return "\n".join(["#!/bin/sh", enter, *exports, f"exec {command}", ""])

    def section(self) -> str:
        """Return the program's part of supervisord.conf; paths are relative to the run folder."""
        return f"""\
[program:{self.name}]
command=./{self.name}.sh
priority={self.priority}
autostart=false
autorestart=true
startsecs=1
startretries=10
stopsignal={self.stop_signal}
stopwaitsecs={self.stop_wait_s}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=../log/{self.name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""
