"""Supervision of the desk's processes by supervisord (docs/decisions/0001-supervisor.md).

supervisord runs in a session of its own, so Ctrl-C reaches only `unrip up`, and is controlled over XML-RPC on a socket
in the home's run folder. Whoever knows the home can control it: `unrip down` finds what a killed `unrip up` left.
"""

import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrip.local.errors import AlreadyRunning, LocalError, SupervisorUnreachable
from unrip.local.paths import Home
from unrip.local.program import Program
from unrip.net.secret_file import write_secret

_SOCKET = "supervisor.sock"
_CALL_TIMEOUT_S = 10.0
_START_TIMEOUT_S = 15.0
_POLL_S = 0.05
#: supervisord's own time to kill and reap after a program's stop_wait_s has passed.
_KILL_MARGIN_S = 5.0
#: supervisor.xmlrpc.Faults, whose numbers are its public contract.
_FAULT_SHUTDOWN_STATE, _FAULT_BAD_NAME, _FAULT_ALREADY_STARTED, _FAULT_NOT_RUNNING = 6, 10, 60, 70
#: The `wait` argument of startProcess and stopProcess: we wait ourselves, for many programs at once.
_NO_WAIT = False
_ENDED = {"STOPPED", "EXITED", "FATAL"}

_BASE_CONF = f"""\
[unix_http_server]
file=/proc/self/cwd/{_SOCKET}
chmod=0700

[supervisord]
nodaemon=true
silent=true
logfile=../log/supervisord.log
logfile_maxbytes=5MB
pidfile=supervisord.pid
umask=077

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """What the supervisor knows about one program."""

    name: str
    #: supervisord's state: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN.
    state: str
    #: None while it does not run.
    pid: int | None
    #: How often supervisord failed to keep it up, in its own text; empty if all is well.
    complaint: str


class Supervisor:
    """The one supervisord of a home. Calls block for milliseconds, `launch` and `shutdown` for as long as they take.

    Every call but `launch` and `running` raises SupervisorUnreachable when nobody answers.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._programs: dict[str, Program] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, *, tied_to_caller: bool = False) -> None:
        """Start supervisord with no program yet.

        With `tied_to_caller` the kernel stops it, and it everything else, when the calling thread dies: for tests.

        Raises:
            AlreadyRunning: the home is supervised already.
            LocalError: supervisord did not come up.

        """
        self.require_idle()
        self._write_conf()
        command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
        if tied_to_caller:
            command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        log = self._home.log_of("supervisord")
        with log.open("ab") as output:
            # The configuration names all places from the run folder: the address of a unix socket has at most 107
            # bytes, supervisord's format treats some characters specially, and a home may be deeper and have any name.
            self._process = subprocess.Popen(  # noqa: S603 -- argv is ours
                command,
                cwd=self._home.run,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.running():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise LocalError(f"supervisord did not start: {last_line(log)} (log: {log})")
            time.sleep(_POLL_S)

    def running(self) -> bool:
        """Whether a supervisord answers for this home."""
        try:
            self._call("getPID")
        except SupervisorUnreachable:
            self._reap()
            return False
        except xmlrpc.client.Fault:  # it is on its way out, and there until it is gone
            return True
        return True

    def require_idle(self) -> None:
        """Refuse a home that is in use.

        Raises:
            AlreadyRunning: the home is supervised already.

        """
        if self.running():
            raise AlreadyRunning(f"{self._home.root} is in use by a running desk: stop it with `unrip down`")

    def add(self, program: Program) -> None:
        """Make a program known, without starting it; one with this name from before is replaced if it has ended."""
        script = self._home.run / f"{program.name}.sh"
        write_secret(script, program.launch_script())
        script.chmod(0o700)
        self._programs[program.name] = program
        self._write_conf()
        self._call("reloadConfig")
        self._call_unless(_FAULT_BAD_NAME, "removeProcessGroup", program.name)
        self._call("addProcessGroup", program.name)

    def start(self, name: str) -> None:
        """Start a program and return at once; one that runs already is left alone."""
        self._call_unless(_FAULT_ALREADY_STARTED, "startProcess", name, _NO_WAIT)

    def stop(self, name: str) -> None:
        """Stop a program and wait for its end, which SIGKILL brings at the latest after its `stop_wait_s`."""
        self._stop_all([name], within_s=self._stop_wait_s()[name])

    def status(self) -> dict[str, ProcessStatus]:
        """Return what is known about every program, by name."""
        return {entry["name"]: _status(entry) for entry in self._call("getAllProcessInfo")}

    def shutdown(self) -> None:
        """Stop all programs, the highest priorities first and each level at once, then supervisord itself.

        Works from any process that knows the home. Returns when supervisord is gone.
        """
        if not self.running():
            raise SupervisorUnreachable(f"nothing runs in {self._home.root}")
        pid = int((self._home.run / "supervisord.pid").read_text())
        try:
            self._stop_levels()
            self._call("shutdown")
        except xmlrpc.client.Fault as refusal:
            if refusal.faultCode != _FAULT_SHUTDOWN_STATE:  # somebody else is stopping it
                raise
        self._await_end(pid)

    def _stop_levels(self) -> None:
        waits = self._stop_wait_s()
        levels: dict[int, list[str]] = {}
        for entry in self._call("getAllConfigInfo"):
            levels.setdefault(int(entry["group_prio"]), []).append(entry["name"])
        for _, names in sorted(levels.items(), reverse=True):
            self._stop_all(names, within_s=max(waits[name] for name in names))

    def _stop_all(self, names: list[str], *, within_s: float) -> None:
        for name in names:
            self._call_unless(_FAULT_NOT_RUNNING, "stopProcess", name, _NO_WAIT)
        deadline = time.monotonic() + within_s + _KILL_MARGIN_S
        while not all(self.status()[name].state in _ENDED for name in names):
            if time.monotonic() > deadline:
                raise LocalError(f"{', '.join(names)}: still there after SIGKILL; see {self._home.log}")
            time.sleep(_POLL_S)

    def _stop_wait_s(self) -> dict[str, int]:
        return {entry["name"]: int(entry["stopwaitsecs"]) for entry in self._call("getAllConfigInfo")}

    def _await_end(self, pid: int) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while _is_alive(pid):
            if time.monotonic() > deadline:
                raise LocalError(f"supervisord (pid {pid}) does not end; see {self._home.log_of('supervisord')}")
            time.sleep(_POLL_S)
        self._reap()

    def _reap(self) -> None:
        """Note the end of a supervisord that was our child."""
        if self._process is not None:
            self._process.poll()

    def _write_conf(self) -> None:
        sections = [program.section() for program in self._programs.values()]
        write_secret(self._home.run / "supervisord.conf", "\n".join([_BASE_CONF, *sections]))

    def _call_unless(self, fault: int, method: str, *arguments: object) -> None:
        """Call, and count one kind of refusal as success: what was asked for is already so."""
        try:
            self._call(method, *arguments)
        except xmlrpc.client.Fault as refusal:
            if refusal.faultCode != fault:
                raise

    def _call(self, method: str, *arguments: object) -> Any:
        remote = xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(self._home.run))
        with remote:
            try:
                return getattr(remote.supervisor, method)(*arguments)
            except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
                raise SupervisorUnreachable(
                    f"no supervisor answers for {self._home.root}: start the desk with `unrip up`"
                ) from error


def last_line(log: Path) -> str:
    """The last line of a log that has text, for an error of one line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            tail = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "it wrote no log"
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"


def _status(entry: dict[str, Any]) -> ProcessStatus:
    pid = int(entry["pid"]) or None
    return ProcessStatus(
        name=entry["name"],
        state=entry["statename"],
        pid=pid,
        complaint=entry["spawnerr"],
    )


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped by its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, folder: Path) -> None:
        super().__init__("localhost", timeout=_CALL_TIMEOUT_S)
        self._folder = folder

    def connect(self) -> None:
        # Through the folder's descriptor, because the path itself may be longer than a socket's address.
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(_CALL_TIMEOUT_S)
            self.sock.connect(f"/proc/self/fd/{folder}/{_SOCKET}")
        except OSError:
            self.sock.close()
            raise
        finally:
            os.close(folder)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> _UnixConnection:
        connection = _UnixConnection(self._folder)
        self._connection = host, connection  # where the base class's close() looks for it
        return connection
