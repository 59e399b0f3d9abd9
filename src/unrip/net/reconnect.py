"""When a socket tries again: one row per cause, and a pure function over them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus


class Cause(StrEnum):
    """Why there is no connection."""

    CLOSED = "closed"
    """It was open and ended."""
    HALF_OPEN = "half_open"
    """It was open and our own pings stayed unanswered: the other side went away without closing it."""
    MUTE = "mute"
    """It was open, answered pings and carried nothing; we gave it up."""
    UNREACHABLE = "unreachable"
    """Network, name, TLS or time-out: nobody answered the handshake properly."""
    UNAUTHORIZED = "unauthorized"
    """HTTP 401 or 403, or a close code for it: the token is missing, unknown or expired. A person must act."""
    CREDENTIALS = "credentials"
    """Our own token file cannot be read. Nothing was sent."""
    RATE_LIMITED = "rate_limited"
    """HTTP 429, or a close code for it."""
    SERVER_ERROR = "server_error"
    """HTTP 5xx."""
    REFUSED = "refused"
    """Any other HTTP answer: wrong URL, or a change at the venue."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """One cause's waiting times, in seconds."""

    #: How long to wait before the first retry.
    first_s: float
    #: The wait doubles with each further retry, up to the cap.
    base_s: float
    cap_s: float
    #: Whether waiting does not help: only a person can act, and is called by a log line (`connection_unauthorized`).
    needs_a_person: bool = False


#: Reasons that end a connection which was open.
ENDS = frozenset({Cause.CLOSED, Cause.HALF_OPEN, Cause.MUTE})

#: Retries start at once where the other side may be well again, and never faster than once per five minutes where
#: only a new token helps (protocol, message bus section 2: "not a reason for fast retries").
BACKOFFS: Mapping[Cause, Backoff] = {
    Cause.CLOSED: Backoff(first_s=0, base_s=1, cap_s=60),
    Cause.HALF_OPEN: Backoff(first_s=0, base_s=1, cap_s=60),
    Cause.MUTE: Backoff(first_s=0, base_s=1, cap_s=60),
    Cause.UNREACHABLE: Backoff(first_s=0, base_s=1, cap_s=60),
    Cause.UNAUTHORIZED: Backoff(first_s=300, base_s=300, cap_s=300, needs_a_person=True),
    Cause.CREDENTIALS: Backoff(first_s=5, base_s=5, cap_s=60, needs_a_person=True),
    Cause.RATE_LIMITED: Backoff(first_s=10, base_s=10, cap_s=300),
    Cause.SERVER_ERROR: Backoff(first_s=0, base_s=2, cap_s=60),
    Cause.REFUSED: Backoff(first_s=30, base_s=30, cap_s=300),
}


@dataclass(frozen=True, kw_only=True)
class ReconnectPolicy:
    """How long to wait before the next attempt."""

    rows: Mapping[Cause, Backoff] = field(default_factory=lambda: BACKOFFS)
    #: How long a connection must have lived to count: a shorter one is a failed attempt, so that a peer that opens and
    #: closes at once is not stormed.
    stable_after_s: float

    def delay(self, cause: Cause, attempt: int, source: random.Random) -> float:
        """Seconds until the next attempt; `attempt` counts the retries since the last stable connection, from 0.

        Waits are lengthened by up to a half, never shortened: the numbers of the table are promises to the other side.
        """
        row = self.rows[cause]
        wait_s = row.first_s if attempt == 0 else min(row.cap_s, row.base_s * 2.0 ** min(attempt - 1, 30))
        return wait_s * (1 + source.random() / 2)


def cause_of_status(status: int) -> Cause:
    """The cause that an HTTP answer to a handshake names."""
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Cause.UNAUTHORIZED
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Cause.RATE_LIMITED
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Cause.SERVER_ERROR
    return Cause.REFUSED


#: The codes with which an open connection is closed where the token is refused: by the standard (1008, policy
#: violation), by its registry (3000 unauthorized, 3003 forbidden), and HTTP's own numbers as applications write them.
_REFUSED_TOKEN = frozenset({1008, 3000, 3003, 4001, 4003, 4401, 4403})
#: "Try again later", and HTTP 429.
_TOO_MUCH = frozenset({1013, 4029, 4429})
_AUTHORISATION_WORDS = ("unauthori", "forbidden", "token", "jwt", "api key", "credential", "authenticat")
_APPLICATIONS_OWN = range(4000, 5000)


def cause_of_close(code: int | None, reason: str) -> Cause:
    """The cause that the other side gives where it closes an open connection."""
    says_so = code in _APPLICATIONS_OWN and any(word in reason.lower() for word in _AUTHORISATION_WORDS)
    if code in _REFUSED_TOKEN or says_so:
        return Cause.UNAUTHORIZED
    return Cause.RATE_LIMITED if code in _TOO_MUCH else Cause.CLOSED
