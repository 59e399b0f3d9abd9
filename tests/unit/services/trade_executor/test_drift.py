"""What may explain that our own reading credits less than the snapshot a command was decided on."""

from __future__ import annotations

import pytest

from support.cases import BTC, EURE
from support.executor import a_command, executor
from unrip.domain.attempt import Rejection
from unrip.domain.values import Amount
from unrip.services.trade_executor.effects import RejectCommand, SignOffer

BEFORE = {BTC.asset_id: 10**7, EURE.asset_id: 5_000 * 10**18}


@pytest.mark.parametrize(("blocks_later", "explained"), [(-1, True), (0, False), (1, False)])
def test_a_settlement_explains_a_fall_since_a_snapshot_from_before_it_and_no_later_one(
    blocks_later: int, explained: bool
) -> None:
    desk = executor()
    offer = desk.send(a_command("first")).offer
    desk.reply()
    desk.noted()
    moved = {
        offer.asset_in: Amount(BEFORE[offer.asset_in] + offer.amount_in),
        offer.asset_out: Amount(BEFORE[offer.asset_out] - offer.amount_out),
    }
    desk.read(used=[offer.nonce], credited=moved)
    settled_at = desk.state().own_read.height
    assert desk.open_offers == []
    desk.read(credited=moved)
    desk.effects.clear()
    # A snapshot of that block or a later one has the settlement in it: what is missing since was taken by another.
    snapshot = {"inventory_height": settled_at + blocks_later, "inventory_credited": Amount(BEFORE[offer.asset_out])}
    desk.command(a_command("second", **snapshot))
    if explained:
        assert desk.of(RejectCommand) == []
        assert len(desk.of(SignOffer)) == 1
    else:
        assert desk.rejection.reason == Rejection.INVENTORY_DRIFT
        assert desk.rejection.numbers["explained_fall"] == "0"
        assert desk.of(SignOffer) == []
