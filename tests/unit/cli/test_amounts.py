"""Amounts on a terminal have their unit, in whole tokens and to the last digit; nothing that is no amount gets one."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from support.chains import chain_of
from support.samples import BTC, EURE, PAIR, decision, demand, event
from unrip.bus.ports import Record
from unrip.cli.amounts import Amounts
from unrip.cli.explain import printed
from unrip.cli.status import trade_ready_line
from unrip.cli.tail import line_of
from unrip.domain.decision import Refusal
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount
from unrip.messages.codec import encode_event

AMOUNTS = Amounts(PAIR)
ROOT = Path(__file__).resolve().parents[3]


def tail_of(topic: str, payload: object) -> str:
    envelope = event(topic, "event-1", payload, chain="quote-1")
    value, timestamp = encode_event(envelope), envelope.published_at
    record = Record(topic=topic, topic_id="t", partition=0, offset=0, key=None, value=value, timestamp=timestamp)
    return line_of(record, AMOUNTS)


@pytest.mark.parametrize(
    ("amount", "asset", "said"),
    [
        (16_804, BTC, "0.00016804 BTC"),
        (0, BTC, "0 BTC"),
        (100_000_000, BTC, "1 BTC"),
        (-1, BTC, "-0.00000001 BTC"),
        (11_672_918_230_172_844_032, EURE, "11.672918230172844032 EURe"),
        (None, EURE, "an unknown amount of EURe"),
        (7, "nep141:other.near", "7 smallest units of nep141:other.near"),
    ],
)
def test_an_amount_has_its_unit_and_every_digit(amount: int | None, asset: str, said: str) -> None:
    assert AMOUNTS.text(amount, asset) == said


def test_the_lines_of_a_trade_say_amounts_as_people_do() -> None:
    decided = decision("quote-1")
    command = decided.command
    assert command is not None
    spent = f"{PAIR.quote.whole_text(command.amount_out)} EURe"
    assert tail_of("norm.swap_demand", demand("quote-1")).endswith(" base_in gives 0.0002 BTC for EURe")
    assert tail_of("cmd.execute_trade", command).endswith(f" sign one offer: receive 0.0002 BTC, spend {spent}")
    edge = tail_of("decision.trade_decision", decided).partition(" accepted, edge ")[2]
    number, unit = edge.split(" ")
    assert unit == "%"
    assert 2 < float(number) < 3


def test_the_readme_shows_lines_as_they_are_printed() -> None:
    decided = decision("6f1c9a30")
    assert decided.command is not None
    command = msgspec.structs.replace(
        decided.command, amount_in=Amount(16_804), amount_out=Amount(11_672_918_230_172_844_032)
    )
    examples = (ROOT / "README.md").read_text()
    for topic, payload in {
        "norm.swap_demand": msgspec.structs.replace(demand("6f1c9a30"), amount_in=Amount(16_804)),
        "decision.trade_decision": msgspec.structs.replace(decided, gross_edge=Decimal("0.0221612")),
        "cmd.execute_trade": command,
    }.items():
        assert f" {tail_of(topic, payload).partition(' ')[2]}\n" in examples


def test_a_demand_that_fixes_what_the_taker_gets_says_so() -> None:
    asked = msgspec.structs.replace(
        demand("quote-1"),
        direction=Direction.BASE_OUT,
        asset_in=EURE,
        asset_out=BTC,
        amount_in=None,
        amount_out=Amount(20_000),
    )
    assert tail_of("norm.swap_demand", asked).endswith(" base_out wants 0.0002 BTC for EURe")


def test_the_numbers_of_a_guard_have_units_where_they_are_amounts() -> None:
    poor = decision("quote-1")
    guards = {guard.reason: guard.numbers for guard in poor.guards}
    lines = printed(chain_of("quote-1", decision=event("decision.trade_decision", "d", poor, chain="q")), PAIR)
    shown = {line.split()[1]: line for line in lines if line.strip().startswith("passed")}
    for reason, names in {
        Refusal.DEMAND_INVALID: {"amount_in": PAIR.base},
        Refusal.INVENTORY_UNRECONCILED: {"unexplained": PAIR.quote},
        Refusal.INSUFFICIENT_INVENTORY: {"credited": PAIR.quote, "limit": PAIR.quote},
        Refusal.INVENTORY_HELD: {"spendable": PAIR.quote, "limit": PAIR.quote, "share_left": PAIR.quote},
    }.items():
        for name, asset in names.items():
            units = Amount(guards[reason][name])
            assert f"{name} {asset.whole_text(units)} {asset.symbol}" in shown[reason]
    assert shown[Refusal.NOTIONAL_ABOVE_CAP].endswith("limit 25")
    assert " BTC" not in shown[Refusal.PRICE_STALE] + shown[Refusal.RATE_LIMITED]


@pytest.mark.parametrize("number", ["unknown", "1/3", "9" * 5_000, "1e9", "٣"])
def test_a_number_that_is_no_amount_stays_as_it_is(number: str) -> None:
    said = AMOUNTS.numbers({"amount_out": number}, pair=PAIR.name, direction=Direction.BASE_IN)
    assert said == f"amount_out {number}"


def test_amounts_of_another_pair_get_no_unit_of_ours() -> None:
    assert AMOUNTS.numbers({"credited": "5"}, pair="A/B", direction=Direction.BASE_IN) == "credited 5"
    assert AMOUNTS.spent(5, pair="A/B", direction=Direction.BASE_IN) == "5 smallest units of what A/B base_in spends"


def test_trade_ready_says_how_much_of_what() -> None:
    ready = {"ready": True, "reasons": [], "spends": "BTC", "largest_quotable": "0.00031"}
    assert trade_ready_line({"base_out": ready}) == "trade-ready: base_out yes (spends up to 0.00031 BTC)"
    unknown = ready | {"largest_quotable": None}
    assert trade_ready_line({"base_out": unknown}) == "trade-ready: base_out yes (spends an unknown amount of BTC)"
