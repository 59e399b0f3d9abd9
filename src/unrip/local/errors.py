"""Errors of running servers and processes on one machine. Each message is one line: what, where, remedy.

* LocalError
  x ToolMissing           a command of the machine is not there; the message holds the command that installs it
  x PreparationFailed     an install, format or initdb ended badly; the message holds its last line
  x PortBusy              somebody else listens where a server of ours would
  x HomeUnusable          the desk's folder, or the user's, cannot be made or written
  x AlreadyRunning        this home is supervised already
  x SupervisorUnreachable nobody supervises this home, or it does not answer
  x ProgramNotReady       a started program did not pass its gate
"""

# ruff: noqa: N818 -- each name states what is the case, as one would say it


class LocalError(Exception):
    """Something about this machine keeps the desk from running here."""


class ToolMissing(LocalError):
    """A command of the machine is missing."""


class PreparationFailed(LocalError):
    """A server could not be installed or given its data folder."""


class PortBusy(LocalError):
    """A port that a server of ours needs is taken."""


class HomeUnusable(LocalError):
    """A folder that a desk needs cannot be used."""


class AlreadyRunning(LocalError):
    """The home has a supervisor that runs."""


class SupervisorUnreachable(LocalError):
    """No supervisor answers for the home."""


class ProgramNotReady(LocalError):
    """A program was started and did not become ready."""
