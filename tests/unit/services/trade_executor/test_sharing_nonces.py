"""trade-executor with several offers on one nonce: which may carry it, and which one took it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.cases import ACCOUNT, BTC, EURE, a_case, a_decision, a_demand, a_desk
from support.executor import VIEW, Executor, a_command, a_reading, executor
from unrip.domain.attempt import Rejection
from unrip.domain.command import TradeCommand
from unrip.domain.pairs import Direction
from unrip.domain.sharing import SharedNonce, Sharing
from unrip.domain.values import Amount, Delta
from unrip.domain.verifier import VerifierFill
from unrip.frame.contract import TimerFired
from unrip.services.trade_executor.effects import (
    ApplyReading,
    ClaimOffer,
    FillsRead,
    LedgerLoaded,
    ReadFills,
    ReadUse,
    SignOffer,
    UseRead,
)

#: What the desk has before the first offer, as the executor's readings say.
BALANCES = {BTC.asset_id: 10**7, EURE.asset_id: 5_000 * 10**18}


def opening(quote_id: str = "first", **changes: Any) -> TradeCommand:
    """The command of a partner's first request."""
    demand = a_demand(quote_id=quote_id, partner_id="p", dry=True, **changes)
    command = a_decision(a_case(demand=demand)).command
    assert command is not None
    return command


def joining(first: TradeCommand, quote_id: str, **changes: Any) -> TradeCommand:
    """The command of a later request that shares the first one's nonce."""
    shared = SharedNonce(
        group=first.nonce_group or "",
        opener=first.nonce_made_by,
        nonce=first.nonce,
        salt=first.salt,
        nonce_deadline=first.nonce_deadline,
        amount=first.amount_out,
        last_deadline=first.offer_deadline,
    )
    demand = a_demand(quote_id=quote_id, partner_id="p", dry=True, **changes)
    command = a_decision(a_case(demand=demand, desk=a_desk(sharing=Sharing(alike=shared)))).command
    assert command is not None
    assert command.nonce == first.nonce
    return command


def two_offers() -> tuple[Executor, ClaimOffer, ClaimOffer]:
    """A small and a larger offer on one nonce, both sent."""
    desk = executor()
    first = opening()
    small = desk.send(first)
    return desk, small, desk.send(joining(first, "second", amount_in=Amount(40_000)))


def moved(*claims: ClaimOffer, gift: int = 0) -> dict[str, Amount]:
    """Our balances after these offers were taken, and perhaps a gift of what they spend."""
    received = sum(claim.offer.amount_in for claim in claims)
    spent = sum(claim.offer.amount_out for claim in claims)
    return {
        BTC.asset_id: Amount(BALANCES[BTC.asset_id] + received),
        EURE.asset_id: Amount(BALANCES[EURE.asset_id] - spent + gift),
    }


def ends(desk: Executor) -> dict[str, str]:
    """The states of the last ending by quote."""
    (ending,) = desk.last(ApplyReading).endings
    return {result.quote_id: result.state.value for result, _chain in ending.results}


# --- which command may carry a nonce ---------------------------------------------------------------------------------


def test_a_nonce_of_our_open_offers_may_be_shared() -> None:
    desk, small, larger = two_offers()
    assert (small.offer.nonce, small.offer.asset_out) == (larger.offer.nonce, larger.offer.asset_out)
    assert small.offer.quote_hash != larger.offer.quote_hash
    assert [offer.quote_id for offer in desk.open_offers] == ["first", "second"]


def test_no_other_nonce_may_be_shared() -> None:
    desk = executor()
    desk.command(joining(opening("never heard of"), "second"))
    assert (desk.rejection.reason, desk.of(SignOffer)) == (Rejection.NONCE_ENDED, [])
    desk.decide("rejected")
    first = opening()
    claim = desk.send(first)
    desk.read(used=[claim.offer.nonce])
    desk.command(joining(first, "third"))
    assert desk.rejection.reason == Rejection.NONCE_ENDED


def test_a_nonce_is_shared_only_by_what_spends_the_same_asset() -> None:
    """The hold of a nonce is of one asset, and a forged command must not stop the executor at its ledger."""
    desk = executor()
    first = opening()
    desk.send(first)
    other = a_command("other way", Direction.BASE_OUT)
    fields = ("nonce", "nonce_deadline", "salt")
    stolen = {name: getattr(first, name) for name in fields} | {"nonce_opener": first.command_id}
    desk.command(msgspec.structs.replace(other, **stolen))
    assert desk.rejection.reason == Rejection.NONCE_ENDED


@pytest.mark.parametrize("opener", ["", "made up", "another command"])
def test_nobody_chooses_a_nonce_for_us(opener: str) -> None:
    """It is made of the id that the command names, and that one must be open here."""
    desk = executor()
    claim = desk.send(opening())
    forged = msgspec.structs.replace(a_command("forged"), nonce=claim.offer.nonce, nonce_opener=opener)
    desk.command(forged)
    assert desk.rejection.reason == Rejection.COMMAND_INVALID
    assert desk.rejection.numbers == {"fault": "nonce is not the one of this command"}


# --- which one took it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("takes", ["first", "second"])
def test_the_offer_that_the_transaction_names_settled_and_the_others_lapsed(takes: str) -> None:
    desk, small, larger = two_offers()
    took = {"first": small, "second": larger}[takes]
    desk.notice(took.offer.quote_hash)
    fill = VerifierFill(
        quote_hash=took.offer.quote_hash, tx_hash="tx-1", diff={BTC.asset_id: Delta(1)}, nonce=took.offer.nonce
    )
    desk.feed(FillsRead(tx_hash="tx-1", fills=(fill,)))
    desk.read(used=[took.offer.nonce])
    assert ends(desk) == {"first": "lapsed", "second": "lapsed", takes: "settled"}
    assert desk.open_offers == []


def test_what_a_transaction_moved_is_asked_until_it_is_known() -> None:
    """It may not be final yet, its node may not answer, and the first transaction that is named may be a wrong one."""
    desk, small, larger = two_offers()
    offer = larger.offer
    desk.notice(offer.quote_hash, "wrong")
    for _ in range(2):
        desk.notice(offer.quote_hash, "tx-1")
        asked = {each.tx_hash for each in desk.of(ReadFills)}
        assert asked == {"wrong", "tx-1"}
        reads = len(desk.of(ReadFills))
        desk.read(asked=[offer.nonce])
        assert len(desk.of(ReadFills)) == reads, "each is asked about once at a time"
        for tx_hash in asked:
            desk.feed(FillsRead(tx_hash=tx_hash, fills=()))
        desk.read(asked=[offer.nonce])
        assert len(desk.of(ReadFills)) == reads + 2
    fill = VerifierFill(quote_hash=offer.quote_hash, tx_hash="tx-1", diff={BTC.asset_id: Delta(1)}, nonce=offer.nonce)
    desk.feed(FillsRead(tx_hash="tx-1", fills=(fill,)))
    desk.read(used=[offer.nonce])
    assert ends(desk) == {"first": "lapsed", "second": "settled"}
    result = next(result for result, _ in desk.last(ApplyReading).endings[0].results if result.state == "settled")
    assert result.evidence is not None
    assert result.evidence.tx_hash == "tx-1"
    assert small.offer.nonce == offer.nonce


def test_nobody_names_transactions_without_end() -> None:
    desk, _small, larger = two_offers()
    for number in range(20):
        desk.notice(larger.offer.quote_hash, f"tx-{number}")
    assert len(desk.of(ReadFills)) == 4


def test_a_notice_alone_names_nobody() -> None:
    """It may be false: only the chain's own events or the balances say who took the nonce."""
    desk, small, larger = two_offers()
    desk.notice(small.offer.quote_hash)
    desk.read(used=[small.offer.nonce], credited=moved(larger))
    assert ends(desk) == {"first": "lapsed", "second": "settled"}


@pytest.mark.parametrize("gift", [0, 1, 10**18])
@pytest.mark.parametrize("takes", ["first", "second"])
def test_without_a_notice_the_balances_say_which_one_it_was_gift_or_not(takes: str, gift: int) -> None:
    desk, small, larger = two_offers()
    took = {"first": small, "second": larger}[takes]
    desk.read(used=[took.offer.nonce], credited=moved(took, gift=gift))
    assert ends(desk) == {"first": "lapsed", "second": "lapsed", takes: "settled"}


def two_of_a_kind() -> tuple[Executor, ClaimOffer]:
    """Two offers of the same amounts on one nonce: no balance can tell them apart."""
    desk = executor()
    first = opening()
    claim = desk.send(first)
    desk.send(joining(first, "second"))
    return desk, claim


def test_while_two_explanations_remain_the_hold_stays_and_nobody_joins_any_more() -> None:
    desk, claim = two_of_a_kind()
    desk.read(used=[claim.offer.nonce], credited=moved(claim))
    assert desk.last(ApplyReading).endings == ()
    assert len(desk.open_offers) == 2
    desk.command(joining(opening(), "third"))
    assert desk.rejection.reason == Rejection.NONCE_ENDED


def test_nobody_joins_a_nonce_of_which_a_notice_says_that_it_was_taken() -> None:
    """True or not, an offer on a nonce of its own is the better answer."""
    desk, small, _larger = two_offers()
    desk.notice(small.offer.quote_hash)
    desk.command(joining(opening(), "third"))
    assert desk.rejection.reason == Rejection.NONCE_ENDED


def test_a_nonce_that_is_being_claimed_once_more_ends_after_that_claim() -> None:
    """The end of a nonce tells of all its offers, and the ledger may have taken one more by now."""
    desk = executor()
    first = opening()
    claim = desk.send(first)
    desk.command(joining(first, "second", amount_in=Amount(40_000)))
    desk.read(used=[claim.offer.nonce], credited=moved(claim))
    assert desk.last(ApplyReading).endings == ()
    desk.sign()
    desk.decide()
    desk.feed(TimerFired(name="read"))
    assert desk.asked == (claim.offer.nonce,)
    desk.read(used=[claim.offer.nonce], credited=moved(claim))
    assert ends(desk) == {"first": "settled", "second": "lapsed"}


def test_after_a_claim_that_was_not_heard_of_the_ledger_is_read_before_its_nonce_ends() -> None:
    desk = executor()
    first = opening()
    claim = desk.send(first)
    desk.command(joining(first, "second", amount_in=Amount(40_000)))
    second = desk.sign()
    desk.decide("duplicate")
    desk.read(used=[claim.offer.nonce], credited=moved(claim))
    assert desk.last(ApplyReading).endings == ()
    desk.feed(LedgerLoaded(position=None, open_offers=(claim.offer, second.offer), view=VIEW))
    desk.read(used=[claim.offer.nonce], credited=moved(claim))
    assert ends(desk) == {"first": "settled", "second": "lapsed"}


def test_a_late_word_still_names_the_taker() -> None:
    desk, claim = two_of_a_kind()
    desk.read(used=[claim.offer.nonce], credited=moved(claim))
    fill = VerifierFill(quote_hash=claim.offer.quote_hash, tx_hash="tx-1", diff={}, nonce=claim.offer.nonce)
    desk.feed(FillsRead(tx_hash="tx-1", fills=(fill,)))
    desk.read(used=[claim.offer.nonce], credited=moved(claim))
    assert ends(desk) == {"first": "settled", "second": "lapsed"}


def looked_for(desk: Executor, nonce: str, **at_use: Any) -> None:
    """The block of its use was found, and no transaction that used it."""
    desk.feed(UseRead(before=a_reading(1_000, asked=[nonce]), after=a_reading(1_001, used=[nonce], **at_use)))
    desk.feed(FillsRead(tx_hash="", fills=(), nonce=nonce))


def test_after_the_last_deadline_the_taker_of_a_used_nonce_stays_unknown() -> None:
    desk, claim = two_of_a_kind()
    desk.read(used=[claim.offer.nonce], credited=moved(claim))
    looked_for(desk, claim.offer.nonce, credited=moved(claim))
    for seconds, over in ((5, False), (6, True)):
        at = claim.offer.offer_deadline + timedelta(seconds=seconds)
        desk.now = at
        desk.read(used=[claim.offer.nonce], block_time=at, credited=moved(claim))
        assert bool(desk.last(ApplyReading).endings) is over
    assert ends(desk) == {"first": "spent", "second": "spent"}
    assert desk.open_offers == []
    first, second = (result for result, _chain in desk.last(ApplyReading).endings[0].results)
    assert (first.exchange is not None, first.told_by) == (True, None), "equal offers say once what moved"
    assert (second.exchange, second.told_by) == (None, first.command_id)


def test_of_offers_that_differ_the_first_says_what_may_have_moved() -> None:
    desk, small, larger = two_offers()
    desk.now = larger.offer.offer_deadline + timedelta(seconds=6)
    gift = {BTC.asset_id: Amount(BALANCES[BTC.asset_id] + 10**6)}
    desk.read(used=[small.offer.nonce], block_time=desk.now, credited={**moved(small), **gift})
    assert desk.last(ApplyReading).endings == ()
    question, nonce = desk.last(ReadUse), small.offer.nonce
    assert (question.span.nonce, question.span.unused_at) == (nonce, small.offer.inventory_height)
    at_use: dict[str, Any] = {"block_time": small.offer.answer_by, "credited": {**moved(small), **gift}}
    looked_for(desk, nonce, **at_use)
    desk.read(used=[nonce], block_time=desk.now, credited={**moved(small), **gift})
    assert ends(desk) == {"first": "spent", "second": "spent"}
    first, second = (result for result, _chain in desk.last(ApplyReading).endings[0].results)
    assert (first.exchange, first.told_by) == (None, None)
    assert [each.amount_out for each in first.candidates] == [small.offer.amount_out, larger.offer.amount_out]
    assert (second.exchange, second.told_by, second.candidates) == (None, first.command_id, ())


@pytest.mark.parametrize("other", ["open", "settled since"])
def test_balances_say_nothing_while_another_offer_may_have_moved_them(other: str) -> None:
    desk, small, _larger = two_offers()
    another = desk.send(a_command("another", amount_in=Amount(50_000), amount_out=Amount(20 * 10**18)))
    if other == "settled since":
        desk.read(used=[another.offer.nonce], credited=moved(another))
    desk.read(used=[small.offer.nonce], credited=moved(small))
    assert desk.last(ApplyReading).endings == ()


def test_after_a_restart_there_is_no_reading_from_before_to_compare_with() -> None:
    _desk, small, larger = two_offers()
    again = Executor()
    again.start(small.offer, larger.offer)
    again.read(used=[small.offer.nonce], credited=moved(small))
    assert again.last(ApplyReading).endings == ()


def test_dead_is_a_nonce_only_after_the_last_deadline_of_its_offers() -> None:
    desk = executor()
    first = opening(min_deadline_ms=1_000)
    early = desk.send(first)
    late = desk.send(joining(first, "second", min_deadline_ms=30_000))
    for at, over in ((early.offer.offer_deadline, False), (late.offer.offer_deadline, True)):
        desk.now = at + timedelta(seconds=4)
        desk.read(asked=[early.offer.nonce], block_time=at + timedelta(seconds=1), observed_at=desk.now)
        assert bool(desk.last(ApplyReading).endings) is over
    assert ends(desk) == {"first": "lapsed", "second": "lapsed"}


def test_offers_of_one_nonce_explain_a_fall_of_the_largest_of_them_only() -> None:
    desk, small, larger = two_offers()
    smaller_than_both = small.offer.amount_out + larger.offer.amount_out
    desk.read(credited={**moved(), EURE.asset_id: Amount(BALANCES[EURE.asset_id] - smaller_than_both)})
    desk.command(a_command("drifted"))
    assert desk.rejection.reason == Rejection.INVENTORY_DRIFT
    assert desk.rejection.numbers["explained_fall"] == str(int(larger.offer.amount_out))
    assert desk.rejection.account == ACCOUNT
