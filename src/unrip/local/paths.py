"""Where files lie: the home of one desk, and the folder of this user that all desks share."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unrip.local.errors import HomeUnusable
from unrip.net.secret_file import write_secret


@dataclass(frozen=True)
class Home:
    """The data folder of one desk (`var/` of the working directory unless `--home` says otherwise).

    Everything a desk writes lies below it, so two desks on one machine only need two homes and other ports.
    """

    root: Path

    @property
    def postgres(self) -> Path:
        """The embedded PostgreSQL's folder (as root possibly a link, see `postgres_account`)."""
        return self.root / "postgres"

    @property
    def kafka(self) -> Path:
        """The embedded Kafka's data and its configuration."""
        return self.root / "kafka"

    @property
    def world(self) -> Path:
        """What the simulated world remembers of itself."""
        return self.root / "world"

    @property
    def log(self) -> Path:
        """One log file per process."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """The supervisor's socket, configuration and launch scripts; of use only while it runs."""
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        """Passwords, tokens and keys: the folder 0700, each file 0600."""
        return self.root / "secrets"

    @property
    def evidence(self) -> Path:
        """What a demo or an operator wrote down for others to read."""
        return self.root / "evidence"

    def create(self) -> None:
        """Make the folders that are missing; those that hold secrets are for their owner only.

        Raises:
            HomeUnusable: a folder cannot be made or written.

        """
        try:
            for folder in (self.root, self.kafka, self.log, self.evidence):
                folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.run, self.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
            # Existing folders do not show that a file system is full or read-only.
            write_secret(self.run / "writable", "yes\n")
        except OSError as error:
            raise self.unusable(error) from None

    def unusable(self, error: OSError) -> HomeUnusable:
        """Make the error of a folder in which something cannot be made or written."""
        return HomeUnusable(
            f"the home {self.root} cannot be used, {error.filename or self.run}: {error.strerror}: make room or change"
            " its permissions, or choose another folder with --home"
        )

    def log_of(self, program: str) -> Path:
        """Return the log file of one program."""
        return self.log / f"{program}.log"


def user_data_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for what is installed once per user, as the XDG base directory specification says."""
    base = environ.get("XDG_DATA_HOME", "")
    # The specification: a relative path there is invalid and is to be ignored.
    data = Path(base) if os.path.isabs(base) else Path(environ.get("HOME") or _home_folder()) / ".local" / "share"
    return data / "unrip"


def _home_folder() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise HomeUnusable(
            "this user has no home folder for what is installed once: set HOME or XDG_DATA_HOME"
        ) from None
