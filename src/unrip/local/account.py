"""The unprivileged account that PostgreSQL, which refuses to be root, runs as when we are root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user of this machine, as numbers."""

    uid: int
    gid: int

    def change(self) -> list[str]:
        """Return the options of `setpriv` that become this account, with no group but its own."""
        return ["--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups"]

    def can_enter(self, path: Path) -> bool:
        """Say whether the account may read and traverse a file or folder, all folders above it included."""
        # Tried for real: mode bits alone say nothing about access lists, idmapped mounts or a container's limits.
        trial = ["setpriv", *self.change(), "--", "test", "-r", str(path), "-a", "-x", str(path)]
        return subprocess.run(trial, check=False, timeout=10, cwd="/").returncode == 0  # noqa: S603 -- argv is ours

    def own(self, path: Path) -> None:
        """Give one file or folder to the account."""
        os.chown(path, self.uid, self.gid)


def unprivileged_account() -> Account | None:
    """Return the account to step down to, or None where we are not root and stay who we are."""
    if os.geteuid() != 0:
        return None
    # `nobody` is on every system; PostgreSQL needs a user with an entry in the user database.
    entry = pwd.getpwnam("nobody")
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)
