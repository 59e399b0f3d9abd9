"""Asking and never accepting: many offers live at once, and they lock no more than the share of an asset."""

from __future__ import annotations

import pytest

from support.pure_desk import PureDesk
from support.random_market import WIDE
from support.virtual_world import DESK
from unrip.domain.policy import Policy
from unrip.domain.sharing import group_of_all
from unrip.messages.topics import EXECUTE_TRADE, TRADE_RESULT
from unrip_world.assets import BTC, EURE
from unrip_world.config import AccountSettings

#: A desk of five thousand euros on either side.
BALANCES = {BTC: 7_000_000, EURE: 5_000 * 10**18}
REQUESTS = 1_000


def a_desk() -> PureDesk:
    balances = {token: str(amount) for token, amount in BALANCES.items()}
    return PureDesk(
        policy=Policy(**WIDE),
        accounts=[AccountSettings(account_id=DESK.account_id, public_keys=[DESK.public_key], balances=balances)],
    )


@pytest.fixture(scope="module", params=["btc_to_eure", "eure_to_btc"])
def asked(request: pytest.FixtureRequest) -> tuple[PureDesk, str]:
    """A thousand requests within fifty seconds, none of them accepted, each for another amount."""
    desk, direction = a_desk(), request.param
    least, step = (20_000, 10) if direction == "btc_to_eure" else (14 * 10**18, 7 * 10**15)
    for number in range(REQUESTS):
        desk.demand(direction=direction, accept="never", partner_id=None, amount_in=str(least + number * step))
        desk.run(0.05)
    return desk, EURE if direction == "btc_to_eure" else BTC


def test_a_thousand_requests_are_answered_and_live_at_once(asked: tuple[PureDesk, str]) -> None:
    desk, asset = asked
    commands = [event.payload for event in desk.topics[EXECUTE_TRADE.name]]
    assert len(commands) == REQUESTS
    own = [command.nonce for command in commands if command.nonce_group is None]
    pooled = {command.nonce for command in commands if command.nonce_group == group_of_all(asset)}
    assert len(set(own)) == len(own) > 100, "a hundred holds at once, each with its own nonce"
    assert len(own) + sum(command.nonce in pooled for command in commands) == REQUESTS
    assert len(pooled) <= 2
    assert len(desk.state("trade-executor")["open_offers"]) == REQUESTS


def test_they_lock_at_most_the_share(asked: tuple[PureDesk, str]) -> None:
    desk, asset = asked
    held = [event.payload.ledger.held[asset] for event in desk.topics[TRADE_RESULT.name]]
    assert max(held) <= BALANCES[asset] * desk.policy.held_share
    assert max(held) > BALANCES[asset] * desk.policy.held_share * 9 / 10, "and use it"


def test_a_real_taker_is_served_all_the_same_and_everything_ends(asked: tuple[PureDesk, str]) -> None:
    desk, asset = asked
    direction, amount = ("btc_to_eure", "25000") if asset == EURE else ("eure_to_btc", str(18 * 10**18))
    before = desk.balances()
    quote_id = desk.demand(direction=direction, partner_id=None, amount_in=amount)
    desk.run(90)
    assert [event.payload.state.value for event in desk.chain(TRADE_RESULT, quote_id)][-1] == "settled"
    assert desk.balances()[asset] < before[asset]
    assert desk.state("trade-executor")["open_offers"] == []
    newest = desk.topics[TRADE_RESULT.name][-1].payload.ledger
    assert newest.held == {BTC: 0, EURE: 0}
    states = [event.payload.state.value for event in desk.topics[TRADE_RESULT.name] if event.payload.state.terminal]
    assert sorted(set(states)) == ["lapsed", "settled"]
    assert (states.count("lapsed"), states.count("settled")) == (REQUESTS, 1)
