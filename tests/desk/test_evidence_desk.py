"""What used a nonce, on the whole desk: strangers with our key, forgotten revocations, lost notices and lying nodes."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.desk import ACCOUNT
from simulation.network import URLS
from support.whole_desk import WholeDesk
from unrip.messages.topics import INTENT_INVENTORY, TRADE_RESULT
from unrip_world.assets import EURE
from unrip_world.faults import read_fault

NEVER = {"direction": "btc_to_eure", "amount_in": "20000", "accept": "never", "min_deadline_ms": 20_000}
TAKEN = {**NEVER, "accept": "best"}
ONE_NODE = {"rpc_urls": [URLS["rpc"]]}
TWO_NODES = {"rpc_urls": [URLS["rpc"], URLS["rpc2"]]}


def strike(desk: WholeDesk, service: str, kind: str, **parameters: Any) -> None:
    fault = read_fault({"service": service, "kind": kind, **parameters}, now_ns=desk.loop.now_ns)
    desk.network.carry_out(desk.world.set_fault(fault, desk.loop.now_ns))


def clear(desk: WholeDesk, service: str, kind: str) -> None:
    desk.network.carry_out(desk.world.clear_fault(service, kind))


def logic(desk: WholeDesk, service: str = "trade-executor") -> Any:
    return desk.processes[service].host.logic


def ends(desk: WholeDesk, quote_id: str) -> list[Any]:
    return [event.payload for event in desk.chain(TRADE_RESULT, quote_id) if event.payload.state.terminal]


def settled_books(desk: WholeDesk) -> tuple[set[int], set[str]]:
    """What is held, and whether every balance is explained."""
    held = {int(amount) for amount in logic(desk).state(desk.loop.now).ledger.held.values()}
    newest = desk.topics[INTENT_INVENTORY.name][-1].payload
    return held, {str(state) for state in newest.reconciliation.values()}


def test_a_nonce_that_a_stranger_with_our_key_spent_is_no_fill() -> None:
    with WholeDesk() as desk:
        quote_id = desk.demand(**NEVER)
        desk.run(2)
        strike(desk, "verifier", "spend_nonces", account_id=ACCOUNT)
        desk.run(40)
        (end,) = ends(desk, quote_id)
        assert (end.state, end.exchange) == ("voided", None)
        assert settled_books(desk) == ({0}, {"unchanged"})


def test_after_a_restart_the_block_of_the_use_says_that_it_was_a_stranger() -> None:
    with WholeDesk() as desk:
        quote_id = desk.demand(**NEVER)
        desk.run(2)
        desk.kill("trade-executor", "crashes")
        strike(desk, "verifier", "spend_nonces", account_id=ACCOUNT)
        desk.run(45)
        (end,) = ends(desk, quote_id)
        assert (end.state, end.evidence.compared_with) == ("voided", end.evidence.height - 1)
        assert settled_books(desk) == ({0}, {"unchanged"})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("forget_intents", {}), ("stay_pending", {"executed": True}), ("http_status", {"status": 401})],
)
def test_a_revocation_that_the_relay_cannot_name_keeps_no_offer_open(kind: str, fields: dict[str, Any]) -> None:
    """The chain can tell that nothing moved, whatever the relay remembers or refuses to say."""
    with WholeDesk() as desk:
        quote_id = desk.demand(**NEVER)
        desk.run(2)
        desk.loop.create_task(desk.act("trade-executor", "halt", revoke=True))
        desk.run(0.2)
        strike(desk, "relay", kind, **fields)
        desk.run(45)
        (end,) = ends(desk, quote_id)
        assert end.state in {"voided", "revoked"}
        assert settled_books(desk) == ({0}, {"unchanged"})


def test_a_fill_without_a_notice_beside_a_withdrawal_is_still_told_from_it() -> None:
    """Between the claim and the newest block both moved balances; in the block of the use only the fill did."""
    with WholeDesk() as desk:
        strike(desk, "relay", "drop_status")
        quote_id = desk.demand(**TAKEN)
        desk.run(1.5)
        strike(desk, "rpc", "down")
        desk.run(6)
        strike(desk, "verifier", "withdraw", account_id=ACCOUNT, token_id=EURE, amount=10**18)
        desk.run(3)
        clear(desk, "rpc", "down")
        desk.run(30)
        (end,) = ends(desk, quote_id)
        assert (end.state, end.evidence.compared_with) == ("settled", end.evidence.height - 1)


def test_where_the_block_of_the_use_says_too_little_its_transaction_is_found() -> None:
    """A withdrawal in that very block leaves no explanation by the balances; the stranger's transaction tells."""
    with WholeDesk() as desk:
        quote_id = desk.demand(**NEVER)
        desk.run(2)
        strike(desk, "verifier", "spend_nonces", account_id=ACCOUNT)
        strike(desk, "verifier", "withdraw", account_id=ACCOUNT, token_id=EURE, amount=10**18)
        desk.run(40)
        (end,) = ends(desk, quote_id)
        assert (end.state, end.evidence.compared_with) == ("voided", None)
        assert end.evidence.executed not in {None, end.quote_hash}
        assert end.evidence.tx_hash is not None


def test_a_withdrawal_beside_a_stranger_is_no_fill() -> None:
    with WholeDesk() as desk:
        quote_id = desk.demand(**NEVER)
        desk.run(2)
        strike(desk, "verifier", "spend_nonces", account_id=ACCOUNT)
        desk.run(2)
        strike(desk, "verifier", "withdraw", account_id=ACCOUNT, token_id=EURE, amount=10**18)
        desk.run(40)
        (end,) = ends(desk, quote_id)
        assert end.state == "voided"


def test_two_nodes_that_contradict_each_other_end_nothing_until_they_agree() -> None:
    """R56: one of them says that the nonce is used."""
    with WholeDesk(settings={"near_intents": {**TWO_NODES, "rpc_cross_check": True}}) as desk:
        quote_id = desk.demand(**NEVER)
        desk.run(2)
        strike(desk, "rpc2", "false_view", method="is_nonce_used", result="true")
        desk.run(45)
        assert ends(desk, quote_id) == []
        assert "verifier_not_read" in logic(desk).not_ready(desk.loop.now)
        clear(desk, "rpc2", "false_view")
        desk.run(10)
        (end,) = ends(desk, quote_id)
        assert end.state == "lapsed"


def test_a_node_with_an_absurd_height_is_passed_over_for_the_other_one() -> None:
    with WholeDesk(settings={"near_intents": TWO_NODES}) as desk:
        strike(desk, "rpc", "height_shift", by=10**12)
        desk.run(20)
        quote_id = desk.demand(**NEVER)
        desk.run(45)
        (end,) = ends(desk, quote_id)
        assert end.state == "lapsed"
        assert logic(desk).state(desk.loop.now).ledger.height < 10**12
        assert logic(desk, "inventory-sync").not_ready(desk.loop.now) == []


def test_an_absurd_chain_is_refused_by_name_over_restarts_and_heals_when_it_is_over() -> None:
    """Where another node is named, it is asked instead; here there is none."""
    with WholeDesk(settings={"near_intents": ONE_NODE}) as desk:
        strike(desk, "rpc", "height_shift", by=10**12)
        desk.run(12)
        desk.kill("trade-executor", "crashes")
        desk.run(12)
        assert "verifier_doubted: height_absurd" in logic(desk).not_ready(desk.loop.now)
        assert "height_absurd" in logic(desk, "inventory-sync").not_ready(desk.loop.now)
        clear(desk, "rpc", "height_shift")
        desk.run(12)
        assert logic(desk).not_ready(desk.loop.now) == []
        assert logic(desk, "inventory-sync").not_ready(desk.loop.now) == []
