"""What PostgreSQL's states mean: what comes from outside is away, what was asked wrongly is refused."""

import asyncpg
import pytest

from unrip.store.driver_errors import named_errors
from unrip.store.errors import Away, StoreRefused, StoreUnavailable


def said(state: str) -> asyncpg.PostgresError:
    error: asyncpg.PostgresError = asyncpg.PostgresError.new({"C": state, "M": "the server's words", "S": "ERROR"})
    return error


@pytest.mark.parametrize(
    ("state", "away"),
    [
        ("08006", Away.CONNECTION),
        ("08P01", Away.CONNECTION),
        ("25P03", Away.CONNECTION),
        ("26000", Away.CONNECTION),
        ("28000", Away.AUTHORISATION),
        ("28P01", Away.AUTHORISATION),
        ("42501", Away.AUTHORISATION),
        ("3D000", Away.MISSING),
        ("3F000", Away.MISSING),
        ("42P01", Away.MISSING),
        ("42703", Away.MISSING),
        ("42883", Away.MISSING),
        ("40001", Away.LOCKS),
        ("40P01", Away.LOCKS),
        ("55P03", Away.LOCKS),
        ("57014", Away.LOCKS),
        ("53000", Away.RESOURCES),
        ("53100", Away.RESOURCES),
        ("53200", Away.RESOURCES),
        ("53300", Away.RESOURCES),
        ("57P01", Away.INTERVENTION),
        ("57P03", Away.INTERVENTION),
        ("57P05", Away.INTERVENTION),
        ("58030", Away.IO),
        ("XX000", Away.IO),
        ("25006", Away.READ_ONLY),
    ],
)
def test_a_state_of_the_server_is_away(state: str, away: Away) -> None:
    with (
        pytest.raises(StoreUnavailable, match=r"asking: PostgreSQL .*the server's words") as caught,
        named_errors("asking"),
    ):
        raise said(state)
    assert caught.value.away is away


@pytest.mark.parametrize(
    "state", ["22003", "22P02", "23502", "23505", "23514", "23001", "42601", "54000", "P0001", "25P02"]
)
def test_what_was_asked_wrongly_is_refused(state: str) -> None:
    with pytest.raises(StoreRefused, match=r"asking: PostgreSQL refused .*the server's words"), named_errors("asking"):
        raise said(state)


def test_a_value_that_the_driver_cannot_send_is_refused_and_a_lost_connection_is_away() -> None:
    with pytest.raises(StoreRefused), named_errors("asking"):
        raise asyncpg.exceptions._base.DataError("invalid input for query argument $1")
    for lost in (asyncpg.InterfaceError("connection is closed"), OSError("no route"), TimeoutError()):
        with pytest.raises(StoreUnavailable), named_errors("asking"):
            raise lost
