"""The connection of near-intents-ingest: its subscriptions, its silence, and the filter that they follow."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from support.ingest import FOREIGN, OTHER, STATUS, counts, fire, hear, ingest, of_records, quote
from support.logic import BTC, EURE, PAIR, T0, act, after, lines, of, published
from unrip.frame.contract import Log, SetTimer, TimerFired
from unrip.net.events import CloseSocket, SendFrame, SocketClosed, SocketOpened
from unrip.net.reconnect import Cause
from unrip.services.near_intents_ingest.logic import NearIntentsIngest
from unrip.services.relay_link import RELAY


def test_it_subscribes_on_every_connection() -> None:
    logic = ingest(connected=False)
    for _ in range(2):
        frames = of(SendFrame, logic.on_event(SocketOpened(connection=RELAY), T0))
        subscribed = [json.loads(frame.text)["params"] for frame in frames]
        assert subscribed == [["quote", {"tokens_in": [BTC, EURE], "tokens_out": [BTC, EURE]}], ["quote_status"]]


def closed(cause: Cause = Cause.CLOSED) -> SocketClosed:
    return SocketClosed(connection=RELAY, cause=cause, reason="gone")


def test_lost_and_recovered_are_told_once_per_change() -> None:
    logic = ingest()
    told = [lines(logic.on_event(event, T0)) for event in [closed(), closed(), closed()]]
    assert told == [["connection_lost"], [], []]
    told = [lines(logic.on_event(SocketOpened(connection=RELAY), T0)) for _ in range(2)]
    assert told == [["connection_recovered"], []]


@pytest.mark.parametrize("cause", [Cause.UNAUTHORIZED, Cause.CREDENTIALS])
def test_a_refused_token_is_named_and_a_person_is_asked_once(cause: Cause) -> None:
    logic = ingest(connected=False)
    assert logic.not_ready(T0) == ["relay_disconnected"]
    effects = logic.on_event(closed(cause), T0)
    assert lines(effects) == ["connection_lost", "connection_unauthorized"]
    assert [line.level for line in of(Log, effects)] == ["warning", "error"]
    assert logic.not_ready(T0) == ["relay_unauthorized"]
    assert logic.on_event(closed(cause), T0) == []


def test_a_lost_connection_that_is_then_refused_asks_for_a_person_too() -> None:
    logic = ingest()
    told = [lines(logic.on_event(closed(cause), T0)) for cause in (Cause.CLOSED, Cause.UNAUTHORIZED, Cause.CLOSED)]
    assert told == [["connection_lost"], ["connection_unauthorized"], []]
    assert logic.not_ready(T0) == ["relay_disconnected"]


def asked_again(logic: NearIntentsIngest, now: datetime) -> list[str]:
    effects = logic.on_event(TimerFired(name="resubscribe"), now)
    return [json.loads(frame.text)["params"][0] for frame in of(SendFrame, effects)]


def test_a_refused_subscription_is_told_and_tried_again() -> None:
    logic = ingest()
    effects = hear(logic, '{"id":1,"error":{"code":-1,"message":"no"}}')
    assert lines(effects) == ["subscription_refused"]
    hear(logic, '{"id":2,"result":"sub-2"}')
    assert logic.not_ready(T0) == ["relay_not_subscribed"]
    assert asked_again(logic, after(seconds=30)) == ["quote"]


def test_a_stream_whose_confirmation_was_lost_is_asked_for_again_whatever_else_is_heard() -> None:
    logic = ingest(connected=False)
    opened = logic.on_event(SocketOpened(connection=RELAY), T0)
    assert SetTimer(name="resubscribe", at=after(seconds=30)) in opened
    hear(logic, '{"id":2,"result":"sub-2"}')
    hear(logic, quote("q1"), after(seconds=29))
    again = logic.on_event(TimerFired(name="resubscribe"), after(seconds=30))
    assert [json.loads(frame.text)["params"][0] for frame in of(SendFrame, again)] == ["quote"]
    assert SetTimer(name="resubscribe", at=after(seconds=60)) in again, "and again, if that is lost, too"
    hear(logic, '{"id":3,"result":"sub-3"}', after(seconds=31))
    assert logic.not_ready(T0) == []
    assert logic.on_event(TimerFired(name="resubscribe"), after(seconds=60)) == []


def test_what_a_silence_or_a_new_filter_asked_for_is_looked_after_as_well() -> None:
    logic = ingest()
    hear(logic, '{"id":1,"result":"sub-1"}')
    hear(logic, '{"id":2,"result":"sub-2"}')
    assert SetTimer(name="resubscribe", at=after(seconds=90)) in fire(logic, after(seconds=60))
    hear(logic, quote("q1"), after(seconds=61))
    assert asked_again(logic, after(seconds=90)) == ["quote", "quote_status"]
    assert SetTimer(name="resubscribe", at=after(seconds=30)) in act(logic, "pair-filter", mode="disable")


def test_a_mute_connection_is_asked_again_and_then_given_up() -> None:
    logic = ingest()
    assert not of(SendFrame, fire(logic, after(seconds=59)))
    asked = fire(logic, after(seconds=60))
    assert [json.loads(frame.text)["method"] for frame in of(SendFrame, asked)] == ["subscribe", "subscribe"]
    assert not of(CloseSocket, asked)
    assert of(CloseSocket, fire(logic, after(seconds=120))) == [CloseSocket(connection=RELAY, reason="mute")]


@pytest.mark.parametrize("text", [STATUS, quote("q1"), quote("q1", **FOREIGN)])
def test_anybodys_event_shows_that_the_connection_carries_something(text: str) -> None:
    logic = ingest()
    hear(logic, text, after(seconds=50))
    assert fire(logic, after(seconds=60)) == [SetTimer(name="relay-mute", at=after(seconds=110))]


@pytest.mark.parametrize("text", ['{"id":77,"result":"OK"}', "{"])
def test_replies_and_noise_show_nothing(text: str) -> None:
    logic = ingest()
    hear(logic, text, after(seconds=50))
    assert of(SendFrame, fire(logic, after(seconds=60)))


def test_an_event_after_asking_again_ends_the_suspicion() -> None:
    logic = ingest()
    fire(logic, after(seconds=60))
    hear(logic, STATUS, after(seconds=61))
    assert fire(logic, after(seconds=120)) == [SetTimer(name="relay-mute", at=after(seconds=121))]


# --- controls ----------------------------------------------------------------------------------------------------


def test_the_filter_can_be_disabled_set_and_reset() -> None:
    logic = ingest(pairs=(PAIR, OTHER))
    disabled = of(SendFrame, act(logic, "pair-filter", mode="disable"))
    assert [json.loads(frame.text)["params"] for frame in disabled] == [["quote"]]
    assert logic.control_state(T0)["pair_filter"] == "disabled"
    (set_frame,) = of(SendFrame, act(logic, "pair-filter", mode="set", pairs=["ETH/EURe"]))
    assert BTC not in set_frame.text
    assert not of_records(hear(logic, quote("q1")))[1:]
    assert counts(logic) == {"quotes_filtered": 1}
    act(logic, "pair-filter", mode="reset")
    assert logic.control_state(T0)["pair_filter"] == "BTC/EURe,ETH/EURe"
    assert len(of_records(hear(logic, quote("q2")))) == 2


def test_any_two_asset_ids_can_be_studied_and_become_no_demand() -> None:
    logic, foreign = ingest(), f"nep141:wrap.near/{BTC}"
    (set_frame,) = of(SendFrame, act(logic, "pair-filter", mode="set", pairs=[foreign, f"{EURE}/{BTC}"]))
    assert json.loads(set_frame.text)["params"][1]["tokens_in"] == [BTC, EURE, "nep141:wrap.near"]
    assert logic.control_state(T0)["pair_filter"] == f"BTC/EURe,{foreign}"
    studied = hear(logic, quote("q1", defuse_asset_identifier_in=BTC, defuse_asset_identifier_out="nep141:wrap.near"))
    (raw,) = of_records(studied)
    assert (raw.pair, raw.payload.in_filter) == (foreign, True)
    (other,) = of_records(hear(logic, quote("q2", **FOREIGN | {"defuse_asset_identifier_out": EURE})))
    assert (other.pair, other.payload.in_filter) == (None, False)
    assert published(hear(logic, quote("q3")), "norm.swap_demand")


def test_a_quiet_pair_drops_no_connection() -> None:
    """Asked anew after a silence, the relay confirms: it is there, and nobody wanted our assets."""
    logic = ingest()
    for minute in range(1, 6):
        asked = fire(logic, after(minutes=minute))
        frames = [json.loads(frame.text) for frame in of(SendFrame, asked) if '"subscribe"' in frame.text]
        assert len(frames) == 2
        assert not of(CloseSocket, asked)
        for number, frame in enumerate(frames):
            hear(logic, json.dumps({"id": frame["id"], "result": f"sub-{number}"}), after(minutes=minute))


def test_without_a_connection_a_change_waits_for_the_next_one() -> None:
    logic = ingest(connected=False)
    assert act(logic, "pair-filter", mode="disable") == []
    frames = of(SendFrame, logic.on_event(SocketOpened(connection=RELAY), T0))
    assert sorted(json.loads(frame.text)["params"][0] for frame in frames) == ["quote", "quote_status"]
    assert not any("tokens_in" in frame.text for frame in frames)
