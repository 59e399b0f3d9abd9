"""The window in which an answer is sure to be in time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cases import NOW
from unrip.domain.demand import ROUTER_LEG_WINDOW_MS, TOP_LEVEL_FLOOR_MS, answer_by

waits = st.none() | st.integers(min_value=-1_000, max_value=100_000)


@pytest.mark.parametrize(
    ("min_wait_ms", "max_wait_ms", "router_leg", "window_ms"),
    [
        (None, None, False, 300),
        (0, None, False, 300),
        (100, None, False, 300),
        (1_000, None, False, 1_000),
        (1_000, 600, False, 600),
        (None, 200, False, 200),
        (None, None, True, 51),
        (1, 50, True, 50),
        (100, 3_000, True, 100),
        (None, 0, False, 0),
    ],
)
def test_known_windows(min_wait_ms: int | None, max_wait_ms: int | None, router_leg: bool, window_ms: int) -> None:
    found = answer_by(received_at=NOW, min_wait_ms=min_wait_ms, max_wait_ms=max_wait_ms, router_leg=router_leg)
    assert found == NOW + timedelta(milliseconds=window_ms)


@given(waits, waits, st.booleans())
def test_the_relays_own_end_is_never_overstayed(min_wait: int | None, max_wait: int | None, leg: bool) -> None:
    window = answer_by(received_at=NOW, min_wait_ms=min_wait, max_wait_ms=max_wait, router_leg=leg) - NOW
    promised = max(min_wait or 0, ROUTER_LEG_WINDOW_MS if leg else TOP_LEVEL_FLOOR_MS)
    assert window <= timedelta(milliseconds=promised)
    if max_wait is not None:
        assert window <= timedelta(milliseconds=max_wait)
