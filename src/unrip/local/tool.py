"""Running a tool of the machine to its end: bounded in time, its failure told in one line."""

import re
import subprocess
from collections.abc import Mapping, Sequence

from unrip.local.errors import PreparationFailed

#: Where tools say what went wrong; what they print after it is advice, a usage text or a stack trace.
_COMPLAINT = re.compile(r"error|exception|fatal", re.IGNORECASE)


def run_tool(
    argv: Sequence[str],
    *,
    what: str,
    timeout_s: float,
    stdin: str = "",
    environ: Mapping[str, str] | None = None,
) -> None:
    """Run a command and wait for it, in the environment given or else in ours.

    Raises:
        PreparationFailed: it could not be started, took too long or failed; the message holds its complaint.

    """
    try:
        done = subprocess.run(  # noqa: S603 -- callers build argv themselves
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            cwd="/",
            env=environ,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PreparationFailed(f"{what} failed: {error}") from error
    if done.returncode != 0:
        raise PreparationFailed(f"{what} failed: {_complaint(done.stderr + done.stdout, done.returncode)}")


def _complaint(output: str, returncode: int) -> str:
    said = [line.strip() for line in output.splitlines() if line.strip()]
    complaints = [line for line in said if _COMPLAINT.search(line)]
    return (complaints or said[-1:] or [f"exit code {returncode}"])[0]
