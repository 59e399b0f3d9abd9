"""Salts that end under open offers, on virtual time: what the executor says of them is what the world's chain did."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from simulation.desk import ACCOUNT
from support.whole_desk import WholeDesk
from unrip.messages.topics import TRADE_RESULT
from unrip_world.faults import read_fault

#: Takers of both directions; some never accept.
DEMANDS = [
    {"direction": direction, "amount_in": str(amount), "accept": accept, "min_deadline_ms": 20_000}
    for direction, accept, amount in (
        ("btc_to_eure", "best", 20_000),
        ("btc_to_eure", "never", 19_000),
        ("eure_to_btc", "best", 14 * 10**18),
        ("eure_to_btc", "never", 13 * 10**18),
    )
]


def strike(desk: WholeDesk, service: str, kind: str, **parameters: Any) -> None:
    fault = read_fault({"service": service, "kind": kind, **parameters}, now_ns=desk.loop.now_ns)
    desk.network.carry_out(desk.world.set_fault(fault, desk.loop.now_ns))


@pytest.mark.parametrize(("ends_after_s", "settled"), [(1, 0), (5, 2)], ids=["before any was taken", "after two were"])
def test_what_was_taken_before_its_salt_ended_settled_and_the_rest_lapsed(ends_after_s: float, settled: int) -> None:
    """No notice comes, and the contract forgets every nonce in the very block that ends the salt.

    Where both were taken in one block the balances have several explanations: the transactions tell.
    """
    with WholeDesk() as desk:
        strike(desk, "relay", "drop_status", for_s="60")
        quotes = [desk.demand(**demand) for demand in DEMANDS]
        desk.run(ends_after_s)
        strike(desk, "verifier", "rotate_salt", invalidate=True)
        strike(desk, "verifier", "cleanup_nonces", account_id=ACCOUNT)
        desk.run(20)
        results = [event.payload for quote in quotes for event in desk.chain(TRADE_RESULT, quote)]
        ends = [result for result in results if result.state.terminal]
        assert Counter(end.state for end in ends) == Counter(settled=settled, lapsed=len(quotes) - settled)
        verdict = desk.world.judge.verdict(ACCOUNT, height=desk.world.chain.head.height)
        assert verdict["settlements"] == settled
        state: Any = desk.processes["trade-executor"].host.logic.state(desk.loop.now)
        newest = state.own_read.height
        assert all(end.evidence is not None and end.evidence.height < newest for end in ends)
        assert all(end.evidence.tx_hash for end in ends if end.state.moved), "told by its transaction"
        assert {int(amount) for amount in state.ledger.held.values()} == {0}
