"""What `unrip explain` says about a whole chain, and about each kind that is not whole."""

import json

import msgspec
import pytest

from support.chains import PARTS, chain_of, chain_of_a_trade
from support.samples import NOW, PAIR, PRICE, SETTLED, decision, demand, event, result
from unrip.cli.explain import as_json, printed
from unrip.domain.attempt import AttemptState
from unrip.store.quote_history import QuoteHistory

WHOLE = chain_of_a_trade("quote-1")


def text_of(chain: QuoteHistory) -> str:
    return "\n".join(printed(chain, PAIR))


def line_of(chain: QuoteHistory, start: str) -> str:
    (line,) = [line for line in text_of(chain).splitlines() if line.strip().startswith(start)]
    return line


def test_a_settled_trade_is_told_from_question_to_evidence() -> None:
    assert "quote quote-1: settled" in text_of(WHOLE)
    command = decision("quote-1").command
    assert command is not None
    spent = command.amount_out
    for start, said in {
        "asked": ("gives 0.0002 BTC for EURe", "partner-1", "base_in", "answer by 09:00:00.545"),
        "price": ("fair 80001", "bid 80000.1 ask 80001.9", "websocket", "coingecko 80100", "EUR per EURe assumed 1"),
        "inventory": ("block 200000000", "credited 0.001 BTC, 500 EURe", "pending in"),
        "decided": (
            "accepted",
            "threshold 2 %",
            "notional 16.0002 EUR",
            f"required {PAIR.quote.whole_text(spent)} EURe",
        ),
        "command": (command.command_id, f"receive 0.0002 BTC, spend {PAIR.quote.whole_text(spent)} EURe"),
        "accepted": ("the relay said 'OK'",),
        "settled": ("nonce used", str(SETTLED.tx_hash), "moved 0.0002 BTC"),
        "missing": ("nothing",),
    }.items():
        line = line_of(WHOLE, start)
        assert [each for each in said if each not in line] == []


def test_every_guard_is_shown_with_its_numbers_and_the_refusing_ones_first() -> None:
    refused = decision("quote-1", price=None)
    told = event("decision.trade_decision", refused.decision_id, refused, chain="quote-1")
    chain = chain_of("quote-1", quote=WHOLE.quote, demand=WHOLE.demand, decision=told, inventory=WHOLE.inventory)
    assert f"quote quote-1: refused: {refused.reason}" in text_of(chain)
    shown = [line.split()[:2] for line in text_of(chain).splitlines() if line.strip().startswith(("REFUSED", "passed"))]
    wanted = [["REFUSED", guard.reason] for guard in refused.guards if not guard.passed]
    wanted += [["passed", guard.reason] for guard in refused.guards if guard.passed]
    assert shown == wanted
    assert "price_age_ms unknown, limit 10000" in line_of(chain, "REFUSED  price_stale")


def test_amounts_are_those_of_the_pair_that_was_traded_then() -> None:
    """The desk trades another contract with other decimals today."""
    today = msgspec.structs.replace(PAIR, quote=msgspec.structs.replace(PAIR.quote, decimals=6))
    assert printed(WHOLE, today) == printed(WHOLE, PAIR)


def test_a_decision_of_the_first_schema_is_told_in_the_configured_pair() -> None:
    assert WHOLE.decision is not None
    old = msgspec.structs.replace(WHOLE.decision.payload, traded=None)
    chain = msgspec.structs.replace(WHOLE, decision=msgspec.structs.replace(WHOLE.decision, payload=old))
    assert printed(chain, PAIR) == printed(WHOLE, PAIR)


def test_the_time_spent_in_each_stage_is_shown() -> None:
    shown = [line.split() for line in text_of(WHOLE).splitlines() if " ms  " in line]
    assert shown[:2] == [["09:00:00.245000", "+0.0", "ms", "received"], ["09:00:00.250000", "+5.0", "ms", "decided"]]


@pytest.mark.parametrize("part", PARTS)
def test_what_is_missing_is_said_and_the_rest_is_still_told(part: str) -> None:
    chain = msgspec.structs.replace(WHOLE, **{part: None})
    assert line_of(chain, "missing").split(maxsplit=1) == ["missing", part]
    assert "settled" in text_of(chain)


def test_a_rejection_is_told_with_its_numbers() -> None:
    rejected = result(
        decision("quote-1"),
        AttemptState.REJECTED,
        reason="inventory_drift",
        numbers={"own_credited": "5", "explained_fall": "-10", "own_height": "9"},
    )
    chain = msgspec.structs.replace(WHOLE, results=(event("exec.trade_result", "result-1", rejected, chain="quote-1"),))
    line = line_of(chain, "rejected")
    assert "inventory_drift, own_credited 0.000000000000000005 EURe, " in line
    assert "explained_fall -0.00000000000000001 EURe, own_height 9" in line


def test_unknown_inputs_are_told_as_unknown() -> None:
    blind = msgspec.structs.replace(
        PRICE, primary=None, second_opinion=None, fair_rate=None, quote_asset_eur_observed=None
    )
    chain = chain_of("quote-1", price=event("ref.market_price", "price-1", blind, chain="price-1"))
    assert "fair unknown" in line_of(chain, "price")
    assert "observed unknown" in line_of(chain, "price")


def test_a_flaw_of_the_price_is_told() -> None:
    assert PRICE.peg is not None
    assert PRICE.jump is not None
    flawed = msgspec.structs.replace(
        PRICE,
        peg=msgspec.structs.replace(PRICE.peg, broken=True),
        jump=msgspec.structs.replace(PRICE.jump, jumped=True),
    )
    chain = chain_of("quote-1", price=event("ref.market_price", "price-1", flawed, chain="price-1"))
    assert "observed 0.9998, broken; jumped" in line_of(chain, "price")
    for changes, said in (
        ({"price_degraded": True}, "without a second opinion"),
        ({"price_degraded": True, "price_fallback": True, "price_source": "coingecko"}, "by coingecko alone"),
    ):
        told = msgspec.structs.replace(decision("quote-1"), **changes)
        chain = chain_of("quote-1", decision=event("decision.trade_decision", "d", told, chain="quote-1"))
        assert said in line_of(chain, "decided")


def test_what_a_taker_wrote_is_not_read_as_markup() -> None:
    asked = msgspec.structs.replace(demand("[bold]quote[/bold]"), partner_id="[red]me[/red]")
    told = event("norm.swap_demand", "demand-1", asked, chain="c")
    shown = text_of(chain_of("[bold]quote[/bold]", demand=told))
    assert "quote [bold]quote[/bold]" in shown
    assert "by [red]me[/red]" in shown


def test_json_holds_every_event_whole_and_what_follows() -> None:
    told = json.loads(json.dumps(as_json(WHOLE)))
    assert (told["outcome"], told["missing"], told["quote_id"]) == ("settled", [], "quote-1")
    assert told["command"]["payload"]["amount_in"] == "20000"
    assert [each["payload"]["state"] for each in told["results"]] == ["claimed", "sent", "accepted", "settled"]
    assert told["stages"][0] == {"stage": "received", "at": "2026-11-24T09:00:00.245000Z", "ms": 0.0}
    assert NOW.isoformat().replace("+00:00", "Z") in {stage["at"] for stage in told["stages"]}
