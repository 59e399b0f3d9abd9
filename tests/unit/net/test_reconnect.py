from __future__ import annotations

import random

import pytest

from unrip.net.reconnect import BACKOFFS, Cause, ReconnectPolicy, cause_of_close, cause_of_status

POLICY = ReconnectPolicy(stable_after_s=10)


@pytest.mark.parametrize(
    ("cause", "waits_s", "needs_a_person"),
    [
        (Cause.CLOSED, [0, 1, 2, 4, 8, 16, 32, 60, 60], False),
        (Cause.HALF_OPEN, [0, 1, 2, 4, 8, 16, 32, 60, 60], False),
        (Cause.MUTE, [0, 1, 2, 4, 8, 16, 32, 60, 60], False),
        (Cause.UNREACHABLE, [0, 1, 2, 4, 8, 16, 32, 60, 60], False),
        (Cause.UNAUTHORIZED, [300, 300, 300], True),
        (Cause.CREDENTIALS, [5, 5, 10, 20, 40, 60, 60], True),
        (Cause.RATE_LIMITED, [10, 10, 20, 40, 80, 160, 300, 300], False),
        (Cause.SERVER_ERROR, [0, 2, 4, 8, 16, 32, 60, 60], False),
        (Cause.REFUSED, [30, 30, 60, 120, 240, 300, 300], False),
    ],
)
def test_each_row_of_the_policy(cause: Cause, waits_s: list[float], *, needs_a_person: bool) -> None:
    assert BACKOFFS[cause].needs_a_person is needs_a_person
    source = random.Random(7)  # noqa: S311 - seeded, for tests
    for attempt, wait_s in enumerate(waits_s):
        assert wait_s <= POLICY.delay(cause, attempt, source) <= wait_s * 1.5


def test_every_cause_has_a_row() -> None:
    assert set(BACKOFFS) == set(Cause)


def test_waits_are_spread_so_that_two_desks_do_not_march_in_step() -> None:
    source = random.Random(7)  # noqa: S311 - seeded, for tests
    assert len({POLICY.delay(Cause.CLOSED, 5, source) for _ in range(20)}) == 20


def test_a_million_retries_still_wait_for_the_cap() -> None:
    assert POLICY.delay(Cause.CLOSED, 1_000_000, random.Random(7)) <= 90  # noqa: S311 - seeded, for tests


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (401, Cause.UNAUTHORIZED),
        (403, Cause.UNAUTHORIZED),
        (429, Cause.RATE_LIMITED),
        (500, Cause.SERVER_ERROR),
        (520, Cause.SERVER_ERROR),
        (404, Cause.REFUSED),
        (200, Cause.REFUSED),
    ],
)
def test_http_answers_name_their_cause(status: int, cause: Cause) -> None:
    assert cause_of_status(status) is cause


@pytest.mark.parametrize(
    ("code", "reason", "cause"),
    [
        (1008, "policy violation", Cause.UNAUTHORIZED),
        (3000, "", Cause.UNAUTHORIZED),
        (3003, "", Cause.UNAUTHORIZED),
        (4001, "", Cause.UNAUTHORIZED),
        (4401, "", Cause.UNAUTHORIZED),
        (4403, "", Cause.UNAUTHORIZED),
        (4100, "JWT expired", Cause.UNAUTHORIZED),
        (4100, "maintenance", Cause.CLOSED),
        (1013, "", Cause.RATE_LIMITED),
        (4429, "", Cause.RATE_LIMITED),
        (1000, "the token of this session", Cause.CLOSED),
        (1001, "", Cause.CLOSED),
        (1006, "", Cause.CLOSED),
        (1011, "", Cause.CLOSED),
        (1012, "", Cause.CLOSED),
        (None, "", Cause.CLOSED),
    ],
)
def test_close_codes_name_their_cause(code: int | None, reason: str, cause: Cause) -> None:
    assert cause_of_close(code, reason) is cause
