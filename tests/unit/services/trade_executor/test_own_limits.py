"""Who can write the topic of the commands trades only what the executor's own numbers allow."""

from __future__ import annotations

from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from support.cases import BTC, EURE, FAIR, NOW, PAIR, a_case, a_decision, a_demand, a_kraken, a_price, ago
from support.engine import ARM, a_record
from support.executor import VIEW, Executor, a_command, executor, the_caps
from unrip.domain.attempt import Rejection, execution_id_of
from unrip.domain.pairs import Direction
from unrip.domain.pricing import Proposal, gross_edge
from unrip.domain.spending import Claimed, Spending
from unrip.domain.values import Amount
from unrip.frame.contract import CaughtUp, Log, Started, Subscribe
from unrip.messages.topics import MARKET_PRICE, TRADE_RESULT
from unrip.net.clock_offset import ClockCompared
from unrip.net.events import SendFrame
from unrip.services.trade_executor.effects import (
    AuthorityJudged,
    ClaimDecided,
    DropAttempt,
    LedgerLoaded,
    NoteAttempt,
    RejectCommand,
    SignOffer,
)

WEI = 10**18


def a_forged(quote_id: str, direction: Direction, amount_in: int, amount_out: int, **changes: Any) -> Any:
    """A command whose own rate makes any amounts look like a bargain."""
    honest = {"amount_in": Amount(amount_in), "amount_out": Amount(amount_out), "notional_eur": Decimal(1)}
    return a_command(quote_id, direction, gross_edge=Decimal(1), **(honest | changes))


FORGED = {
    "99 000 EUR of BTC for one": (Direction.BASE_OUT, WEI, 9_900_000, "1"),
    "a little BTC for less": (Direction.BASE_OUT, WEI, 40_000, "1"),
    "EURe for one satoshi": (Direction.BASE_IN, 1, 20 * WEI, "30000000000"),
    "99 EURe for one satoshi": (Direction.BASE_IN, 1, 99 * WEI, "10000000000"),
    "4000 EURe for one satoshi": (Direction.BASE_IN, 1, 4_000 * WEI, "1E+12"),
    "a rate of nothing": (Direction.BASE_OUT, WEI, 40_000, "1E-90"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_rate_of_the_senders_choice_changes_nothing(name: str) -> None:
    direction, amount_in, amount_out, rate = FORGED[name]
    desk = executor()
    desk.command(a_forged(name, direction, amount_in, amount_out, fair_rate=Decimal(rate)))
    assert desk.of(SignOffer) == []
    assert desk.rejection.reason == Rejection.COMMAND_INVALID


@pytest.mark.parametrize("name", FORGED)
def test_with_every_true_price_a_forged_rate_changes_nothing_either(name: str) -> None:
    """Under the caps it is our own price alone that refuses: edge and the worth of both sides are measured by it."""
    direction, amount_in, amount_out, rate = FORGED[name]
    wide = the_caps(base_per_command="1", quote_per_command="9000", base_per_minute="1", base_open="1")
    wide = {
        asset: msgspec.structs.replace(cap, per_minute=Amount(10**30), open=Amount(10**30))
        for asset, cap in wide.items()
    }
    desk = Executor(caps=wide).ready()
    desk.command(a_forged(name, direction, amount_in, amount_out, fair_rate=Decimal(rate)))
    assert desk.of(SignOffer) == []
    assert desk.rejection.reason == Rejection.COMMAND_INVALID


def test_what_is_spent_is_bounded_without_any_price() -> None:
    desk = executor()
    over = the_caps()[EURE.asset_id].per_command + 1
    desk.command(a_command(amount_in=Amount(50_000), amount_out=Amount(over)))
    assert desk.rejection.numbers == {
        "fault": "spends too much in one command",
        "asset": EURE.asset_id,
        "spent": str(over),
        "limit": str(25 * WEI),
    }


def claimed(desk: Executor, quote_id: str, **changes: Any) -> bool:
    """One more command up to its claim; says whether it was signed."""
    before = len(desk.of(SignOffer))
    desk.command(a_command(quote_id, **changes))
    if len(desk.of(SignOffer)) == before:
        desk.decide("rejected")
        return False
    desk.sign()
    desk.decide()
    return True


def test_what_is_signed_within_a_minute_is_bounded_and_the_minute_goes_by() -> None:
    desk = Executor(caps=the_caps(quote_per_minute="24")).ready()
    assert claimed(desk, "one")
    assert claimed(desk, "two")
    assert not claimed(desk, "three")
    assert desk.rejection.numbers["fault"] == "spends too much within 60 s"
    assert Decimal(desk.rejection.numbers["spent"]) == 3 * a_command("one").amount_out
    assert claimed(desk, "the other asset", direction=Direction.BASE_OUT)


def test_offers_of_one_nonce_count_once_as_their_largest() -> None:
    desk = Executor(caps=the_caps(quote_per_minute="12", quote_open="12")).ready()
    first = a_command("one")
    assert claimed(desk, "one")
    shared = {"nonce_opener": first.command_id, "nonce": first.nonce, "nonce_deadline": first.nonce_deadline}
    assert claimed(desk, "two", **shared)
    assert not claimed(desk, "three")


def test_a_restart_does_not_begin_a_new_minute() -> None:
    desk = Executor(caps=the_caps(quote_per_minute="24"))
    spent = Claimed(nonce="n", asset_out=EURE.asset_id, amount_out=Amount(20 * WEI), claimed_at=ago(30_000))
    desk.feed(Started(active=True, generation=1, start_id="trade-executor-1"))
    desk.feed(LedgerLoaded(position=None, open_offers=(), view=VIEW, claimed_lately=(spent, spent)))
    desk.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id="results-1"))
    desk.connect()
    desk.feed(AuthorityJudged(proven=True, reason="proven"))
    desk.read()
    desk.feed(ARM)
    assert not claimed(desk, "one")
    assert desk.rejection.numbers["fault"] == "spends too much within 60 s"
    desk.now += timedelta(seconds=31)
    desk.read()
    later = a_decision(a_case(demand=a_demand(quote_id="two"), now=NOW)).command
    assert later is not None
    desk.command(msgspec.structs.replace(later, answer_by=desk.now + timedelta(seconds=1)))
    assert len(desk.of(SignOffer)) == 1


def test_what_open_offers_hold_is_bounded_by_the_ledgers_own_count() -> None:
    desk = executor()
    assert claimed(desk, "one")
    held = the_caps()[EURE.asset_id].open
    desk.command(a_command("two"))
    desk.sign()
    view = msgspec.structs.replace(VIEW, held={EURE.asset_id: held})
    desk.feed(ClaimDecided(command_id="", kind="claimed", view=view))
    assert not claimed(desk, "three")
    assert desk.rejection.numbers["fault"] == "spends too much with all open offers"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"primary": None, "fair_rate": None}, "price_missing"),
        ({"disagreement": Decimal("0.5")}, "price_sources_disagree"),
        ({"jump": None}, "price_jump"),
        ({"peg": None}, "peg_broken"),
        ({"fair_rate": FAIR * 2}, "price_sources_disagree"),
    ],
)
def test_a_price_of_our_own_that_would_refuse_a_demand_refuses_the_command(changes: dict[str, Any], fault: str) -> None:
    desk = executor()
    desk.price(**changes)
    desk.command(a_command(direction=Direction.BASE_OUT))
    assert desk.of(SignOffer) == []
    assert fault in desk.rejection.numbers["fault"]


def test_without_a_recent_price_of_our_own_nothing_is_signed() -> None:
    desk = executor()
    desk.now += timedelta(seconds=10)
    late = a_command(answer_by=desk.now + timedelta(seconds=1))
    desk.command(late)
    assert desk.rejection.numbers["fault"].endswith("price_stale")


def test_a_price_of_another_pair_is_not_ours() -> None:
    desk = executor()
    desk.price(pair="ETH/EURe", fair_rate=Decimal(1))
    desk.command()
    assert len(desk.of(SignOffer)) == 1


@pytest.mark.parametrize("behind_ms", [0, 1, 5, 20, 100, 249])
def test_two_clocks_within_the_tolerance_trade_the_longest_life(behind_ms: int) -> None:
    """The default request is of the longest life: an executor that is a little behind must not reject all of them."""
    desk = executor()
    command = a_decision(a_case(demand=a_demand(min_deadline_ms=60_000, answer_by=NOW + timedelta(seconds=1)))).command
    desk.now = NOW + timedelta(milliseconds=3 - behind_ms)
    desk.command(command)
    assert len(desk.of(SignOffer)) == 1


@pytest.mark.parametrize(("took_ms", "sent"), [(100, True), (350, False)])
def test_a_wall_clock_set_back_during_the_claim_keeps_no_window_open(took_ms: int, *, sent: bool) -> None:
    """The window is judged by the clock that says more; what was not sent by then is dropped."""
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.now -= timedelta(seconds=1)
    took = timedelta(milliseconds=took_ms)
    desk.feed(ClaimDecided(command_id="", kind="claimed", view=VIEW, took=took))
    assert len(desk.of(SendFrame)) == sent
    assert [each.result.reason for each in desk.of(DropAttempt)] == ([] if sent else ["window_closed"])
    if sent:  # by the wall clock it closes so much earlier as that clock lags
        assert desk.last(SendFrame).not_after == claim.offer.answer_by - timedelta(seconds=1, milliseconds=took_ms)


def test_an_answer_is_not_allowed_after_the_offers_own_end() -> None:
    desk = executor()
    good = a_command()
    desk.command(msgspec.structs.replace(good, answer_by=good.offer_deadline + timedelta(milliseconds=1)))
    assert "after the offer's end" in desk.rejection.numbers["fault"]


def test_a_window_beyond_the_life_of_its_offer_is_cut_where_it_is_commanded() -> None:
    decision = a_decision(a_case(demand=a_demand(min_deadline_ms=1_000, answer_by=NOW + timedelta(hours=1))))
    assert decision.command is not None
    assert decision.command.answer_by == decision.command.offer_deadline


@pytest.mark.parametrize("hours", [-12, -1, 1, 14])
def test_a_deadline_of_another_offset_is_judged_as_it_is_signed(hours: int) -> None:
    """The same instant is the same offer; nothing in it lives longer by being written in another zone."""
    command = a_command()
    other = timezone(timedelta(hours=hours))
    names = ("offer_deadline", "nonce_deadline", "answer_by")
    same = msgspec.structs.replace(command, **{name: getattr(command, name).astimezone(other) for name in names})
    assert same == command
    assert repr(same) == repr(command)
    desk = executor()
    desk.command(same)
    assert desk.last(SignOffer).command == command
    longer = msgspec.structs.replace(
        command, offer_deadline=command.offer_deadline.replace(tzinfo=timezone(-timedelta(hours=1)))
    )
    desk = executor()
    desk.command(longer)
    assert desk.of(SignOffer) == []
    assert len(desk.of(RejectCommand)) == 1


@pytest.mark.parametrize(
    ("least_ms", "most_ms", "beyond"), [(-900, 100, None), (-900, -251, "-251"), (251, 900, "251")]
)
def test_a_clock_that_differs_from_the_outside_for_sure_signs_nothing(
    least_ms: int, most_ms: int, beyond: str | None
) -> None:
    desk = executor()
    desk.feed(ClockCompared(least_ms=least_ms, most_ms=most_ms))
    assert desk.logic.not_ready(desk.now) == ([] if beyond is None else ["clock_skewed"])
    desk.command()
    assert len(desk.of(SignOffer)) == (beyond is None)
    if beyond is not None:
        assert (desk.rejection.reason, desk.rejection.numbers) == (
            Rejection.CLOCK_SKEWED,
            {"offset_ms": beyond, "limit": "250"},
        )


@pytest.mark.parametrize(("ahead_ms", "signed"), [(250, True), (251, False)])
def test_a_price_of_our_own_may_lie_ahead_as_far_as_clocks_differ(ahead_ms: int, signed: bool) -> None:
    desk = executor()
    at = desk.now + timedelta(milliseconds=ahead_ms)
    kraken = msgspec.structs.replace(a_kraken(), observed_at=at, source_time=at)
    desk.feed(a_record(MARKET_PRICE, a_price(primary=kraken), observed_at=at))
    desk.command()
    assert len(desk.of(SignOffer)) == signed
    if not signed:
        assert "ahead" in desk.rejection.numbers["fault"]


@pytest.mark.parametrize(("asset", "held"), [("an asset without caps", 0), (EURE.asset_id, None)])
def test_where_nothing_says_how_much_may_be_spent_nothing_is(asset: str, held: int | None) -> None:
    fault = Spending(the_caps()).fault(asset, "nonce", 1, held=held, held_by_nonce=0, now=NOW)
    assert fault == {"fault": "nothing says how much of this asset may be spent", "asset": asset}


@pytest.mark.parametrize("step", [timedelta(minutes=-10), timedelta(minutes=10), timedelta(days=400)])
def test_a_clock_that_is_set_and_set_back_forgets_nothing_of_the_last_minute(step: timedelta) -> None:
    """Commands are judged, and rejected, also while the clock is wrong; that must not open the cap of the minute."""
    caps = the_caps()[EURE.asset_id]
    spending = Spending({EURE.asset_id: caps})
    asset, most = EURE.asset_id, caps.per_minute
    spending.claimed(Claimed(nonce="first", asset_out=asset, amount_out=most, claimed_at=NOW))

    def fault(after: timedelta) -> dict[str, str] | None:
        return spending.fault(asset, "next", 1, held=0, held_by_nonce=0, now=NOW + after)

    fault(step)
    told = fault(timedelta(seconds=1))
    assert told is not None
    assert told["fault"] == "spends too much within 60 s"
    assert fault(timedelta(seconds=60)) is None


def test_a_command_before_the_first_price_is_rejected() -> None:
    desk = Executor()
    desk.start()
    assert Subscribe(topic=MARKET_PRICE, tail=1) in desk.effects, "the last price is read again"
    desk.command()
    assert desk.rejection.reason is Rejection.DISARMED


def test_a_command_from_the_future_is_of_another_clock() -> None:
    desk = executor()
    desk.now -= timedelta(milliseconds=251)
    desk.command()
    assert (desk.rejection.reason, desk.rejection.numbers["ahead_ms"]) == (Rejection.CLOCK_SKEWED, "251")


def test_every_line_and_result_of_an_execution_names_it_by_one_id() -> None:
    desk = executor()
    claim = desk.send()
    desk.reply(error={"code": -1, "message": "no"})
    desk.command(a_command("rejected", command_id="made-up"))
    desk.decide("rejected")
    named = execution_id_of(claim.offer.command_id)
    results = [claim.result, *(note.result for note in desk.of(NoteAttempt))]
    assert {result.execution_id for result in results} == {named}
    assert desk.rejection.execution_id == execution_id_of("made-up") != named
    told = [line.body["execution_id"] for line in desk.of(Log) if line.component == "execution"]
    assert told == [named, named, execution_id_of("made-up")]


def test_the_edge_by_our_own_price_is_that_of_the_integers() -> None:
    """One unit less than the floor's edge refuses: the limit is exact, by the price that we read ourselves."""
    amount_in = Amount(20_000)
    rate = a_price().fair_rate
    assert rate is not None

    def edge(amount_out: int) -> bool:
        proposal = Proposal(amount_in=amount_in, amount_out=Amount(amount_out))
        return gross_edge(PAIR, Direction.BASE_IN, fair_rate=rate, proposal=proposal) >= Decimal("0.005")

    largest = int(amount_in * rate * 10**10 / Decimal("1.005"))
    assert edge(largest)
    assert not edge(largest + 1)
    for amount_out, signed in ((largest, 1), (largest + 1, 0)):
        desk = executor()
        desk.command(a_forged("exact", Direction.BASE_IN, amount_in, amount_out, fair_rate=rate * 2))
        assert len(desk.of(SignOffer)) == signed, desk.rejection.numbers
    assert BTC != EURE
