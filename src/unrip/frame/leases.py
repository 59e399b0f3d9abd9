"""The lease that survives a restart: a row in PostgreSQL and a token file beside the process, good only together.

A brake deletes the file first, so that it still holds when it could be recorded nowhere (blueprint, section 11).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from unrip.domain.arming import ArmLease
from unrip.domain.values import Value
from unrip.frame.contract import Emit, Log, Start
from unrip.frame.runner import Handler
from unrip.net.secret_file import SecretFileError, read_secret, write_secret
from unrip.store.errors import StoreRefused
from unrip.store.leases import LeaseStore


class PersistLease(Value):
    """Effect: make a lease survive a restart."""

    lease: ArmLease


class ForgetLease(Value):
    """Effect: let nothing survive a restart any more. It is done at once, before anything else."""


class FindLease(Value):
    """Effect: look for a lease that an earlier life left; `LeaseFound` follows if there is one."""


class UseLease(Value):
    """Effect: count one use of the lease that was found; `LeaseUsed` or `LeaseUsedUp` follows."""


class LeaseFound(Value):
    """An earlier life left this lease."""

    lease: ArmLease


class LeaseUsed(Value):
    """The use is counted in PostgreSQL."""


class LeaseUsedUp(Value):
    """The service was armed this way too often in the last hour."""


class LeaseKeeper:
    """Performs the effects above."""

    def __init__(
        self,
        store: LeaseStore,
        path: Path,
        *,
        service: str,
        emit: Emit,
        clock: Callable[[], datetime],
        new_token: Callable[[], str],
        start: Start,
        log: Callable[[Log], None],
    ) -> None:
        self._store = store
        self._path = path
        self._service = service
        self._emit = emit
        self._clock = clock
        self._new_token = new_token
        self._start = start
        self._log = log
        #: Incremented by every later lease operation, so that a slow `keep` cannot undo a brake.
        self._word = 0

    def handlers(self) -> dict[type[Value], Handler]:
        """The method that performs each effect."""
        return {
            PersistLease: lambda effect: self._start(self._keep(effect.lease, self._next_word())),
            ForgetLease: lambda _: self._forget(),
            FindLease: lambda _: self._start(self._find(self._word)),
            UseLease: lambda _: self._start(self._use(self._word)),
        }

    def _next_word(self) -> int:
        self._word += 1
        return self._word

    def _forget(self) -> None:
        self._next_word()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._say("lease_not_forgotten", f"{self._path}: {error.strerror}; delete it by hand", level="error")

    async def _keep(self, lease: ArmLease, word: int) -> None:
        """Write the row first: a file without its row is worth nothing."""
        token = self._new_token()
        try:
            await self._store.keep(self._service, _hash(token), lease)
        except StoreRefused as error:
            self._say("lease_not_kept", f"{error}; the lease ends with this process")
            return
        if word != self._word:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_secret(self._path, token + "\n")
        except OSError as error:
            self._say("lease_not_kept", f"{self._path}: {error.strerror}; the lease ends with this process")

    async def _find(self, word: int) -> None:
        token = self._token()
        if token is None:
            return
        try:
            lease = await self._store.find(self._service, _hash(token))
        except StoreRefused as error:
            self._say("lease_not_kept", str(error))
            return
        if word == self._word and lease is not None:
            self._emit(LeaseFound(lease=lease))

    async def _use(self, word: int) -> None:
        """Read the file once more before its use: whoever deleted it by hand meant it."""
        token = self._token()
        if token is None or word != self._word:
            return
        try:
            counted = await self._store.use(self._service, _hash(token), self._clock())
        except StoreRefused as error:
            self._say("lease_not_kept", str(error))
            return
        if word == self._word:
            self._emit(LeaseUsed() if counted else LeaseUsedUp())

    def _token(self) -> str | None:
        if not self._path.exists():
            return None
        try:
            return read_secret(self._path)
        except SecretFileError as error:
            self._say("lease_not_kept", str(error))
            return None

    def _say(self, event: str, why: str, *, level: str = "warning") -> None:
        self._log(Log(event=event, level=level, component="arming", body={"reason": why}))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
