"""What follows from the records of one quote: outcome, what is missing, and the time between stages."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.chains import PARTS, chain_of, chain_of_a_trade
from support.samples import NOW, SETTLED, decision, event, result
from unrip.domain.attempt import AttemptState
from unrip.messages.envelope import Envelope
from unrip.messages.payloads import RawQuote
from unrip.store.quote_history import QuoteHistory

WHOLE = chain_of_a_trade("quote-1")


def without(*parts: str, chain: QuoteHistory = WHOLE) -> QuoteHistory:
    return msgspec.structs.replace(chain, **dict.fromkeys(parts))


def with_results(*states: str, **changes: Any) -> QuoteHistory:
    """The trade's chain up to the command, and these results, the last of which has the changes."""
    of = decision("quote-1")
    results = [
        event("exec.trade_result", f"result {state}", result(of, AttemptState(state)), chain="quote-1")
        for state in states
    ]
    if results:
        results[-1] = msgspec.structs.replace(
            results[-1], payload=msgspec.structs.replace(results[-1].payload, **changes)
        )
    return msgspec.structs.replace(WHOLE, results=tuple(results))


def test_a_settled_trade_lacks_nothing() -> None:
    assert (WHOLE.outcome, WHOLE.ended, WHOLE.missing) == ("settled", True, ())


@pytest.mark.parametrize("part", PARTS)
def test_every_record_that_is_not_there_is_named(part: str) -> None:
    assert without(part).missing == (part,)


def test_all_gaps_are_named_at_once() -> None:
    assert without("quote", "price", "command").missing == ("quote", "price", "command")


def test_an_accepted_decision_without_its_command_is_a_gap() -> None:
    chain = without("command", chain=with_results())
    assert (chain.outcome, chain.ended, chain.missing) == ("open", False, ("command",))


def test_a_command_without_a_terminal_result_is_open_and_lacks_nothing() -> None:
    for states in ((), ("claimed",), ("claimed", "sent"), ("claimed", "sent", "refused")):
        chain = with_results(*states)
        assert (chain.outcome, chain.ended, chain.missing) == ("open", False, ())


def test_an_offer_that_went_on_without_its_claim_on_record_has_a_gap() -> None:
    assert with_results("sent", "settled", evidence=SETTLED).missing == ("result claimed",)


@pytest.mark.parametrize(
    ("states", "reason", "outcome"),
    [
        (("rejected",), "disarmed", "rejected: disarmed"),
        (("claimed", "dropped"), "socket_gone", "dropped: socket_gone"),
        (("claimed", "sent", "lapsed"), None, "lapsed"),
        (("claimed", "sent", "refused", "settled"), None, "settled"),
    ],
)
def test_the_terminal_state_is_the_outcome(states: tuple[str, ...], reason: str | None, outcome: str) -> None:
    chain = with_results(*states, reason=reason)
    assert (chain.outcome, chain.ended, chain.missing) == (outcome, True, ())


def test_a_note_that_was_published_after_the_end_changes_no_outcome() -> None:
    assert with_results("claimed", "settled", "refused").outcome == "settled"


def test_a_refused_quote_is_whole_with_its_decision_and_names_what_it_never_had() -> None:
    refused = decision("quote-1", price=None, inventory=None)
    told = event("decision.trade_decision", refused.decision_id, refused, chain="quote-1")
    chain = msgspec.structs.replace(without("price", "inventory", "command"), decision=told, results=())
    assert (chain.outcome, chain.ended, chain.missing) == ("refused: price_missing", True, ())


def test_an_undecided_quote_waits_for_its_decision() -> None:
    chain = chain_of("quote-1", quote=WHOLE.quote, demand=WHOLE.demand)
    assert (chain.outcome, chain.ended, chain.missing) == ("not decided", False, ("decision",))


def test_a_quote_outside_the_pair_is_never_decided_and_lacks_nothing() -> None:
    raw: Envelope[RawQuote] = event(
        "raw.near_intents.quote",
        "raw",
        RawQuote(quote_id="other", frame="{}", received_at=NOW, in_filter=False),
        chain="other",
    )
    assert (chain_of("other", quote=raw).outcome, chain_of("other", quote=raw).missing) == ("not decided", ())


def test_a_command_from_nowhere_shows_what_does_not_stand_behind_it() -> None:
    chain = msgspec.structs.replace(with_results("rejected", reason="disarmed"), decision=None)
    chain = without("quote", "demand", "price", "inventory", chain=chain)
    assert chain.missing == ("quote", "demand", "decision")
    assert chain.outcome == "rejected: disarmed"


def test_nothing_at_all_is_not_whole() -> None:
    assert QuoteHistory(quote_id="unknown").missing == ("quote", "demand", "decision")
    assert QuoteHistory(quote_id="unknown").stages == ()


def test_stages_are_in_the_order_of_time_with_the_time_between_them() -> None:
    def at(milliseconds: float) -> Any:
        return NOW + timedelta(milliseconds=milliseconds)

    assert WHOLE.demand is not None
    assert WHOLE.command is not None
    demand = msgspec.structs.replace(WHOLE.demand, published_at=at(1.5), stages={"received": at(0)})
    command = msgspec.structs.replace(
        WHOLE.command, published_at=at(9), stages={"received": at(0), "decided": at(4), "decision_acknowledged": at(8)}
    )
    chain = chain_of("quote-1", demand=demand, command=command)
    assert [(stage.stage, stage.ms) for stage in chain.stages] == [
        ("received", 0.0),
        ("demand published", 1.5),
        ("decided", 2.5),
        ("decision_acknowledged", 4.0),
        ("command published", 1.0),
    ]
    assert sum(stage.ms for stage in chain.stages) == 9.0
    assert chain.stages[-1].at == at(9)


def test_price_and_inventory_are_older_and_no_stage_of_the_quote() -> None:
    assert not [stage for stage in WHOLE.stages if stage.stage.startswith(("price", "inventory"))]
