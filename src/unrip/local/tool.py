"""Running a tool of the machine to its end: bounded in time, its failure told in one line."""

import subprocess
from collections.abc import Sequence

from unrip.local.errors import PreparationFailed


def run_tool(argv: Sequence[str], *, what: str, timeout_s: float, stdin: str = "") -> None:
    """Run a command and wait for it.

    Raises:
        PreparationFailed: it could not be started, took too long or failed; the message holds its last line.

    """
    try:
        done = subprocess.run(  # noqa: S603 -- callers build argv themselves
            argv, input=stdin, capture_output=True, text=True, check=False, timeout=timeout_s, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PreparationFailed(f"{what} failed: {error}") from error
    if done.returncode != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise PreparationFailed(f"{what} failed: {said[-1] if said else f'exit code {done.returncode}'}")
