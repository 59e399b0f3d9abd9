from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.engine import a_control
from support.ingest import FOREIGN, STATUS, confirmed, counts, fire, hear, heard, ingest, of_records, quote
from support.logic import BTC, EURE, T0, act, after, lines, of, published
from unrip.domain.demand import answer_by
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount, epoch_ms
from unrip.frame.contract import BusChanged, ControlRefused, Draining, Published, PublishFailed
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.envelope import Envelope, Producer
from unrip.messages.topics import SWAP_DEMAND
from unrip.net.events import SendFrame, SocketOpened
from unrip.services.near_intents_ingest.logic import SEEN_MAX, UNACKNOWLEDGED_MAX
from unrip.services.relay_link import RELAY


def test_quotes_of_other_subscriptions_are_counted_and_not_answered() -> None:
    """Neither what came for somebody else nor what still comes for a subscription that was given up is ours."""
    logic = ingest(connected=False)
    confirmed(logic, list(logic.on_event(SocketOpened(connection=RELAY), T0)), "s")
    assert published(heard(logic, quote("ours")), SWAP_DEMAND.name)
    elsewhere = quote("theirs").replace('"subscription": "s"', '"subscription": "t"')
    assert not published(heard(logic, elsewhere), SWAP_DEMAND.name)
    changed = act(logic, "pair-filter", mode="disable")
    assert not published(heard(logic, quote("given up")), SWAP_DEMAND.name)
    confirmed(logic, changed, "u")
    assert not published(heard(logic, quote("late")), SWAP_DEMAND.name)
    assert published(heard(logic, quote("new").replace('"subscription": "s"', '"subscription": "u"')), SWAP_DEMAND.name)
    unnamed = quote("unnamed").replace('"subscription": "s", ', "")
    assert published(heard(logic, unnamed), SWAP_DEMAND.name)
    assert logic.state(T0).quotes["foreign_subscription"] == 3


def told_at(quote_timestamp: object) -> datetime:
    """Until when a demand may be answered whose request carries this venue time."""
    data = json.loads(quote("q", metadata={"quote_timestamp": quote_timestamp}))
    (demand,) = published(heard(ingest(), json.dumps(data)), SWAP_DEMAND.name)
    answer_by: datetime = demand.payload.answer_by
    return answer_by


def test_an_older_time_of_the_venue_itself_begins_the_window() -> None:
    """Where the venue says when it asked, a demand is not younger than that, but for what two clocks may differ."""
    window = told_at(None)
    asked_at = T0 - timedelta(seconds=2)
    assert told_at(epoch_ms(asked_at)) == told_at(asked_at.isoformat()) == window - timedelta(milliseconds=1_750)
    ahead, within = epoch_ms(T0) + 5_000, epoch_ms(T0 - timedelta(milliseconds=250))
    hints: tuple[object, ...] = (within, ahead, int(T0.timestamp()), "soon", {}, 0)
    for hint in hints:
        assert told_at(hint) == window


# --- quotes ------------------------------------------------------------------------------------------------------


def test_a_quote_of_the_pair_becomes_a_demand_and_its_raw_frame() -> None:
    logic, text = ingest(), quote("q1", min_wait_ms=1900, max_wait_ms=3000)
    effects = hear(logic, text, after(seconds=1))
    (demand,), (raw,) = published(effects, "norm.swap_demand"), published(effects, "raw.near_intents.quote")
    assert effects.index(demand) < effects.index(raw)
    assert (demand.correlation_id, demand.causation_id, demand.pair) == ("q1", raw.event_id, "BTC/EURe")
    assert demand.stages == {"received": after(seconds=1)}
    assert demand.event_id == demand.payload.demand_id
    assert demand.payload.direction is Direction.BASE_OUT
    assert (demand.payload.amount_in, demand.payload.amount_out) == (Amount(25 * 10**18), None)
    assert demand.payload.answer_by == after(seconds=1, milliseconds=1_900)
    assert (raw.payload.frame, raw.payload.in_filter) == (text, True)
    assert counts(logic) == {"quotes_published": 1}


def test_the_other_direction() -> None:
    effects = hear(ingest(), quote("q1", defuse_asset_identifier_in=BTC, defuse_asset_identifier_out=EURE))
    (demand,) = published(effects, "norm.swap_demand")
    assert (demand.payload.direction, demand.payload.asset_out) == (Direction.BASE_IN, EURE)


def test_what_is_published_can_be_read_by_the_next_service() -> None:
    for record in of_records(hear(ingest(), quote("q1"))):
        envelope = Envelope(
            event_id=record.event_id,
            event_type=record.topic.name,
            schema_version=1,
            producer=Producer(service="s", instance="i", version="v"),
            occurred_at=None,
            observed_at=record.observed_at,
            published_at=T0,
            venue=record.venue,
            pair=record.pair,
            correlation_id=record.correlation_id,
            causation_id=record.causation_id,
            stages=record.stages,
            payload=record.payload,
        )
        assert decode_event(record.topic.name, encode_event(envelope)).payload == record.payload


@pytest.mark.parametrize("amounts", [{"exact_amount_out": "5"}, {"exact_amount_in": None}])
def test_both_amounts_or_none_are_for_the_decision_to_refuse(amounts: dict[str, Any]) -> None:
    (demand,) = published(hear(ingest(), quote("q1", **amounts)), "norm.swap_demand")
    assert (demand.payload.amount_in is None) == (demand.payload.amount_out is None)


def test_a_quote_told_again_with_other_terms_stays_what_it_was() -> None:
    logic = ingest()
    (first,) = published(hear(logic, quote("q1")), SWAP_DEMAND.name)
    assert not of_records(hear(logic, quote("q1", exact_amount_in="1", min_deadline_ms=1)))
    assert logic.state(T0).quotes["repeated"] == 1
    assert first.payload.amount_in == 25 * 10**18


@given(st.permutations([(f"q{number}", number) for number in range(4)]))
def test_quotes_in_another_order_make_the_same_records(told: list[tuple[str, int]]) -> None:
    """None is too old because a newer one came before it: each has its own window, from the venue's own time on."""
    logic = ingest()
    for quote_id, seconds in told:
        metadata = {"quote_timestamp": epoch_ms(T0 - timedelta(seconds=seconds))}
        data = json.loads(quote(quote_id))
        data["params"]["metadata"] = metadata
        (demand, _raw) = of_records(hear(logic, json.dumps(data)))
        (alone, _raw) = of_records(hear(ingest(), json.dumps(data)))
        assert (demand.event_id, demand.payload) == (alone.event_id, alone.payload)
        assert demand.payload.answer_by == answer_by(
            received_at=min(T0, T0 - timedelta(seconds=seconds) + timedelta(milliseconds=250)),
            min_wait_ms=None,
            max_wait_ms=None,
            router_leg=False,
        )


def test_a_router_leg_is_recognised_and_has_a_shorter_window() -> None:
    logic = ingest()
    (demand,) = published(hear(logic, quote("q1", protocol_fee_included=True, min_wait_ms=1)), "norm.swap_demand")
    assert demand.payload.router_leg
    assert demand.payload.answer_by == after(milliseconds=51)
    assert logic.state(T0).quotes["router_legs"] == 1


def test_a_repeated_quote_makes_no_second_record() -> None:
    logic = ingest()
    first = hear(logic, quote("q1"))
    assert not of_records(hear(logic, quote("q1")))
    assert len(of_records(first)) == 2
    assert counts(logic) == {"quotes_published": 1, "quotes_filtered": 1}
    assert logic.state(T0).quotes["repeated"] == 1


def test_the_same_quote_gets_the_same_ids_in_another_life() -> None:
    first, second = (of_records(hear(ingest(), quote("q1"))) for _ in range(2))
    assert [record.event_id for record in first] == [record.event_id for record in second]


def test_other_pairs_are_kept_raw_up_to_the_cap_and_never_demanded() -> None:
    logic = ingest(raw_cap_per_s=2)
    effects = [effect for number in range(5) for effect in hear(logic, quote(f"q{number}", **FOREIGN))]
    kept = published(effects, "raw.near_intents.quote")
    assert [(record.payload.in_filter, record.pair) for record in kept] == [(False, None)] * 2
    assert not published(effects, "norm.swap_demand")
    assert published(hear(logic, quote("q9", **FOREIGN), after(seconds=1)), "raw.near_intents.quote")
    assert counts(logic) == {"quotes_filtered": 6}
    assert logic.state(T0).quotes["raw_over_cap"] == 3


# --- other frames ------------------------------------------------------------------------------------------------


def test_notices_and_replies_have_their_classes() -> None:
    logic = ingest()
    hear(logic, STATUS)
    hear(logic, '{"id":1,"result":"sub-1"}')
    hear(logic, '{"id":99,"error":"no"}')
    assert counts(logic) == {"status_notices": 1, "replies": 2}
    assert logic.not_ready(T0) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"method":"news"}', quote("q1", exact_amount_in=5), None])
def test_what_cannot_be_understood_is_kept_with_its_reason(text: str | None) -> None:
    logic = ingest()
    effects = hear(logic, text)
    (letter,) = published(effects, "dlq.invalid_message")
    assert letter.payload.source == RELAY
    assert letter.payload.reason
    assert letter.payload.excerpt == (text or "")
    assert lines(effects) == ["invalid_message"]
    assert counts(logic) == {"dead_letters": 1}


def test_a_flood_of_broken_frames_is_kept_whole_and_told_once_a_second() -> None:
    logic = ingest()
    effects = [effect for number in range(100) for effect in hear(logic, "{", after(milliseconds=number))]
    assert len(published(effects, "dlq.invalid_message")) == 100
    assert len({record.event_id for record in published(effects, "dlq.invalid_message")}) == 100
    assert lines(effects) == ["invalid_message"]
    assert hear(logic, "{", after(seconds=2))[-1].body["more_before"] == 99  # type: ignore[attr-defined]


def test_a_long_frame_is_cut_in_its_dead_letter() -> None:
    (letter,) = published(hear(ingest(), "x" * 300_000), "dlq.invalid_message")
    assert 0 < len(letter.payload.excerpt) <= 2_000
    assert letter.payload.size_bytes == 300_000


# --- the broker --------------------------------------------------------------------------------------------------


def test_while_the_broker_is_away_quotes_are_dropped_and_counted() -> None:
    logic = ingest()
    logic.on_event(BusChanged(up=False, reason="gone"), T0)
    effects = [*hear(logic, quote("q1")), *hear(logic, "{"), *hear(logic, quote("q2", **FOREIGN))]
    assert not published(effects, "norm.swap_demand") + published(effects, "dlq.invalid_message")
    assert not published(effects, "raw.near_intents.quote")
    assert counts(logic) == {"dropped_broker_away": 2, "quotes_filtered": 1}
    logic.on_event(BusChanged(up=True, reason=""), T0)
    assert published(hear(logic, quote("q1")), "norm.swap_demand")


def test_a_broker_that_acknowledges_nothing_counts_as_away() -> None:
    logic = ingest()
    effects = [effect for number in range(UNACKNOWLEDGED_MAX) for effect in hear(logic, quote(f"q{number}"))]
    records = of_records(effects)
    assert len(records) == UNACKNOWLEDGED_MAX
    assert counts(logic) == {
        "quotes_published": UNACKNOWLEDGED_MAX // 2,
        "dropped_broker_away": UNACKNOWLEDGED_MAX // 2,
    }
    assert not logic.idle()
    for record in records:
        logic.on_event(Published(token=record.token, offset=1), T0)
    assert logic.idle()
    assert of_records(hear(logic, quote("new")))


def test_a_record_that_is_not_acknowledged_makes_its_frame_a_dropped_one() -> None:
    logic = ingest()
    demand, raw = of_records(hear(logic, quote("q1")))
    logic.on_event(PublishFailed(token=raw.token, reason="timed out"), T0)
    logic.on_event(PublishFailed(token=demand.token, reason="timed out"), T0)
    logic.on_event(PublishFailed(token=demand.token, reason="timed out"), T0)
    assert counts(logic) == {"dropped_broker_away": 1}
    assert of_records(hear(logic, quote("q1")))
    assert counts(logic) == {"dropped_broker_away": 1, "quotes_published": 1}


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("pair-filter", {}),
        ("pair-filter", {"mode": "set"}),
        ("pair-filter", {"mode": "set", "pairs": []}),
        ("pair-filter", {"mode": "set", "pairs": ["DOGE/EURe"]}),
        ("pair-filter", {"mode": "set", "pairs": ["nep141:a.near"]}),
        ("pair-filter", {"mode": "set", "pairs": ["nep141:a.near/nep141:a.near"]}),
        ("pair-filter", {"mode": "set", "pairs": ["nep141:a.near/nep141:b near"]}),
        ("pair-filter", {"mode": "set", "pairs": ["nep141:a.near/nep141:b.near"] * 21}),
        ("pair-filter", {"mode": "open"}),
        ("arm", {}),
    ],
)
def test_a_control_that_cannot_be_followed_changes_nothing(action: str, arguments: dict[str, Any]) -> None:
    logic = ingest()
    before = logic.control_state(T0)
    with pytest.raises(ControlRefused):
        act(logic, action, **arguments)
    assert logic.control_state(T0) == before


def test_what_a_control_would_change_is_said_and_nothing_has_changed() -> None:
    logic = ingest()
    assert logic.follow(a_control("pair-filter", mode="disable"), T0) == {"pair_filter": "disabled"}
    assert logic.control_state(T0)["pair_filter"] == "BTC/EURe"
    assert of(SendFrame, fire(logic, after(seconds=60)))


@pytest.mark.parametrize("stop", ["pause", "drain"])
def test_while_paused_or_draining_nothing_is_published(stop: str) -> None:
    logic = ingest()
    act(logic, stop)
    if stop == "drain":
        logic.on_event(Draining(), T0)
    assert not of_records([*hear(logic, quote("q1")), *hear(logic, quote("q2", **FOREIGN))])
    assert counts(logic) == {"quotes_filtered": 2}


def test_pause_is_seen_and_ends_with_resume() -> None:
    logic = ingest()
    act(logic, "pause")
    assert logic.vitals(T0).paused
    assert "paused" in logic.not_ready(T0)
    act(logic, "resume")
    assert of_records(hear(logic, quote("q1")))


# --- the sum -----------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_ten_thousand_frames_are_each_in_exactly_one_class_and_quiet(seed: int) -> None:
    source = random.Random(seed)  # noqa: S311 - seeded, for tests
    logic = ingest(raw_cap_per_s=5)
    tokens: list[str] = []
    told: list[str] = []
    now = T0
    for number in range(10_000):
        now += timedelta(milliseconds=source.randrange(5))
        match source.randrange(12):
            case 0:
                effects = hear(logic, quote(f"q{number}", **FOREIGN), now)
            case 1:
                effects = hear(logic, STATUS, now)
            case 2:
                effects = hear(logic, quote(f"q{source.randrange(number + 1)}"), now)
            case 3:
                effects = list(logic.on_event(BusChanged(up=source.random() < 0.8, reason=""), now))
            case 4 if tokens:
                effects = list(logic.on_event(PublishFailed(token=tokens.pop(), reason=""), now))
            case 5 if tokens:
                while tokens:
                    logic.on_event(Published(token=tokens.pop(), offset=0), now)
                effects = []
            case 6:
                effects = hear(logic, '{"id":7,"result":"OK"}', now)
            case _:
                effects = hear(logic, quote(f"q{number}"), now)
        tokens += [record.token or "" for record in of_records(effects)]
        told += lines(effects)
    counts(logic)
    assert told == []


def test_ten_thousand_quiet_quotes_add_no_line() -> None:
    logic = ingest()
    told: list[str] = []
    for number in range(10_000):
        effects = hear(logic, quote(f"q{number}"))
        told += lines(effects)
        for record in of_records(effects):
            logic.on_event(Published(token=record.token, offset=number), T0)
    assert told == []
    assert counts(logic) == {"quotes_published": 10_000}
    assert len(logic._seen) == SEEN_MAX
