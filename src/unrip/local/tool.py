"""Tools of the machine: whether they are there, and running one to its end with its failure on one line."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from unrip.local.errors import PreparationFailed, ToolMissing

#: The command that installs packages, as in `scripts/system-packages`, which names all packages at once.
INSTALL_COMMAND = "apt-get install -y --no-install-recommends"

#: How tools begin the line with what went wrong; what they print after it is advice, a usage text or a stack trace.
_COMPLAINT = re.compile(r"error|exception|fatal", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def require_tools(packages: Mapping[str, str], *, purpose: str) -> None:
    """Refuse to go on without commands of the machine; `packages` has the Debian package of each.

    Raises:
        ToolMissing: names them and the command that installs them.

    """
    missing = {tool: package for tool, package in packages.items() if shutil.which(tool) is None}
    if missing:
        raise ToolMissing(
            f"{purpose} needs {' and '.join(missing)}, not found on PATH:"
            f" {INSTALL_COMMAND} {' '.join(sorted(set(missing.values())))}"
        )


def run_tool(argv: Sequence[str], *, what: str, timeout_s: float, stdin: str = "") -> None:
    """Run a command and wait for it.

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
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PreparationFailed(f"{what} failed: {error}") from error
    if done.returncode != 0:
        raise PreparationFailed(f"{what} failed: {_complaint(done.stderr + done.stdout, done.returncode)}")


def _complaint(output: str, returncode: int) -> str:
    said = [line.strip() for line in _COLOUR.sub("", output).splitlines() if line.strip()]
    complaints = [line for line in said if _COMPLAINT.search(line)]
    return (complaints or said[:1] or [f"exit code {returncode}"])[0]
