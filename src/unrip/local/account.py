"""The unprivileged account that PostgreSQL, which refuses to be root, runs as when we are root."""

import os
import pwd
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

_TRIAL_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user of this machine, as numbers."""

    uid: int
    gid: int
    #: The user that we are where we are root of a user namespace that knows nobody else (`unshare -r`).
    ourselves: bool = False

    def become(self, *, stop_signal: str | None = None) -> list[str]:
        """The words before a command that run it as this account, with no group but its own.

        With a stop signal the kernel sends it to the command when its parent dies; it must be asked for in the same
        step that changes the account, which clears it (prctl(2)).
        """
        dying = [] if stop_signal is None else ["--pdeathsig", stop_signal]
        if not self.ourselves:
            user = ["--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups"]
            return ["setpriv", *dying, *user, "--"]
        name = ["unshare", "--user", f"--map-user={self.uid}", f"--map-group={self.gid}", "--"]
        return [*name, "setpriv", *dying, "--"] if dying else name

    def can_enter(self, path: Path) -> bool:
        """Whether the account may read and traverse a file or folder, with all folders above it."""
        # It is tried: mode bits alone do not show access lists, idmapped mounts or a container's limits.
        return self._succeeds("test", "-r", str(path), "-a", "-x", str(path))

    def can_run(self) -> bool:
        """Whether a command can run as this account at all."""
        return self._succeeds("true")

    def _succeeds(self, *argv: str) -> bool:
        done = subprocess.run(  # noqa: S603 -- argv is ours
            [*self.become(), *argv], check=False, timeout=_TRIAL_TIMEOUT_S, cwd="/", stderr=subprocess.DEVNULL
        )
        return done.returncode == 0

    def own(self, path: Path) -> None:
        """Give one file or folder to the account."""
        if not self.ourselves:
            os.chown(path, self.uid, self.gid)


def unprivileged_account() -> Account | None:
    """The account to step down to; None where we are not root and stay who we are."""
    if os.geteuid() != 0:
        return None
    # `nobody` is on every system; PostgreSQL needs a user with an entry in the user database.
    entry = pwd.getpwnam("nobody")
    account = Account(uid=entry.pw_uid, gid=entry.pw_gid)
    return account if account.can_run() else replace(account, ourselves=True)
