"""Guaranteed settlement notices: nothing is acknowledged before what it caused is committed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from support.cases import NOW
from support.executor import VIEW, Executor, a_reading
from support.whole_desk import WholeDesk
from unrip.messages.topics import RAW_QUOTE_STATUS, TRADE_RESULT
from unrip.net.events import FrameReceived, SendFrame, SocketClosed
from unrip.service.contract import Count, Effect, Log, Publish, Published, PublishFailed, Started
from unrip.services.trade_executor.conversation import RELAY, Conversation
from unrip.services.trade_executor.effects import LedgerLoaded, VerifierRead
from unrip.venues.near_intents.relay import FRAME_CHARACTERS_MAX, StatusNotice
from unrip_world.config import RelaySettings


def executor() -> Executor:
    return Executor(guaranteed=True).ready()


def acknowledged(effects: list[Effect]) -> list[Any]:
    """The parameters of the acknowledgements among these effects."""
    frames = [json.loads(effect.text) for effect in effects if isinstance(effect, SendFrame)]
    return [frame["params"] for frame in frames if frame["method"] == "acknowledge"]


def records(desk: Executor) -> list[Publish]:
    return [each for each in desk.of(Publish) if each.topic == RAW_QUOTE_STATUS]


def the_broker_has_it(desk: Executor) -> list[Effect]:
    return desk.feed(Published(token=records(desk)[-1].token or "", offset=7))


def noticed(desk: Executor, seq: int = 4) -> tuple[str, str]:
    """An open offer of ours and a guaranteed notice about it: its hash and nonce."""
    claim = desk.send()
    assert acknowledged(desk.notice(claim.offer.quote_hash, seq=seq)) == []
    return claim.offer.quote_hash, claim.offer.nonce


def connection_lost(desk: Executor) -> None:
    desk.feed(SocketClosed(connection=RELAY, reason="gone", http_status=None, was_open=True))


def test_the_guarantee_is_the_third_parameter_of_the_subscription() -> None:
    desk = Executor(guaranteed=True)
    desk.connect()
    (frame,) = desk.of(SendFrame)
    assert json.loads(frame.text)["params"] == ["quote_status", None, True]


@pytest.mark.parametrize("record_first", [True, False])
def test_a_notice_of_ours_is_acknowledged_after_its_record_and_the_end_of_its_offer(*, record_first: bool) -> None:
    desk = executor()
    _hash, nonce = noticed(desk)
    if record_first:
        assert acknowledged(the_broker_has_it(desk)) == []
        desk.effects.clear()
        desk.read(used=[nonce])
        assert acknowledged(desk.effects) == [["s", 4]]
    else:
        desk.read(used=[nonce])
        assert acknowledged(desk.effects) == []
        assert acknowledged(the_broker_has_it(desk)) == [["s", 4]]


def test_a_notice_that_is_told_again_after_a_restart_is_a_record_of_its_own() -> None:
    """The second one has another frame and time, and the history alarms about two payloads under one id."""
    offer = executor().send().offer
    notice = StatusNotice(quote_hash=offer.quote_hash, intent_hash="i", tx_hash="t", event_type=None, seq=4)
    first, second = (
        Conversation.record(notice, frame, offer)
        for frame in (a_frame("first life", NOW), a_frame("second life", NOW + timedelta(seconds=30)))
    )
    assert first.payload != second.payload
    assert first.event_id != second.event_id
    assert Conversation.record(notice, a_frame("first life", NOW), offer) == first
    assert first.token == second.token, "one receipt settles every delivery"


def a_frame(text: str, at: datetime) -> FrameReceived:
    return FrameReceived(connection=RELAY, text=text, size_bytes=len(text), received_at=at)


def test_a_reading_that_is_not_committed_acknowledges_nothing() -> None:
    desk = executor()
    _hash, nonce = noticed(desk)
    the_broker_has_it(desk)
    desk.feed(VerifierRead(reading=a_reading(2_000, used=[nonce])))
    assert desk.states[-1] == "settled"
    assert acknowledged(desk.effects) == []
    assert acknowledged(desk.noted()) == [["s", 4]]


def test_a_notice_of_others_is_acknowledged_at_once() -> None:
    assert acknowledged(executor().notice("somebody else's", seq=9)) == [["s", 9]]


def test_a_repeated_notice_is_recorded_once_and_every_delivery_is_acknowledged() -> None:
    desk = executor()
    quote_hash, nonce = noticed(desk, seq=4)
    again = desk.notice(quote_hash, seq=5)
    assert again == [Count(name="status_notices", labels={"whose": "ours_again"})]
    assert len(records(desk)) == 1
    the_broker_has_it(desk)
    desk.read(used=[nonce])
    assert acknowledged(desk.effects) == [["s", 4], ["s", 5]]
    assert acknowledged(desk.notice(quote_hash, seq=6)) == [["s", 6]], "its offer has ended by now"


def test_a_record_that_the_broker_did_not_take_is_made_again_at_the_next_delivery() -> None:
    desk = executor()
    quote_hash, nonce = noticed(desk)
    (record,) = records(desk)
    desk.feed(PublishFailed(token=record.token or "", reason="no broker"))
    desk.read(used=[nonce])
    assert acknowledged(desk.effects) == []
    assert record in desk.notice(quote_hash, seq=4)
    assert acknowledged(the_broker_has_it(desk)) == [["s", 4]]


def test_numbers_of_an_earlier_connection_are_not_acknowledged() -> None:
    desk = executor()
    quote_hash, nonce = noticed(desk, seq=4)
    connection_lost(desk)
    desk.noted()
    desk.connect()
    the_broker_has_it(desk)
    desk.read(used=[nonce])
    assert acknowledged(desk.effects) == []
    assert acknowledged(desk.notice(quote_hash, seq=4)) == [["s", 4]], "the relay tells it again"


def test_before_the_ledger_is_loaded_nobody_knows_whose_a_notice_is() -> None:
    """A standby, which never loads, takes no notice away from the instance that works."""
    desk = Executor(guaranteed=True)
    desk.feed(Started(active=True, generation=1, start_id="trade-executor-1"))
    desk.connect()
    assert desk.notice("perhaps ours", seq=1) == [Count(name="status_notices", labels={"whose": "unknown_yet"})]
    desk.feed(LedgerLoaded(position=None, open_offers=(), view=VIEW))
    assert acknowledged(desk.notice("perhaps ours", seq=1)) == [["s", 1]]


def test_a_refused_guarantee_falls_back_to_the_plain_stream_on_this_connection() -> None:
    desk = Executor(guaranteed=True)
    desk.connect()
    effects = desk.reply(error={"code": -32602, "message": "guaranteed delivery is not enabled for this partner"})
    assert Count(name="guarantees_refused") in effects
    assert [line.event for line in effects if isinstance(line, Log)] == ["guarantee_refused"]
    plain = json.loads(desk.last(SendFrame).text)
    assert (plain["method"], plain["params"]) == ("subscribe", ["quote_status"])
    refused = desk.reply(error="no such stream")
    assert [line.event for line in refused if isinstance(line, Log)] == ["subscription_refused"]
    assert not [effect for effect in refused if isinstance(effect, SendFrame)], "it falls once"
    connection_lost(desk)
    desk.connect()
    assert json.loads(desk.last(SendFrame).text)["params"] == ["quote_status", None, True]


@pytest.mark.parametrize(("said", "outcome"), [({"result": "OK"}, "taken"), ({"error": "unknown"}, "refused")])
def test_the_reply_to_an_acknowledgement_is_counted(said: dict[str, Any], outcome: str) -> None:
    desk = executor()
    desk.notice("somebody else's", seq=9)
    request_id = json.loads(desk.last(SendFrame).text)["id"]
    told = desk.hear({"jsonrpc": "2.0", "id": request_id, **said})
    assert told == [Count(name="acknowledgements", labels={"outcome": outcome})]


def test_an_unguaranteed_notice_is_not_awaited() -> None:
    desk = Executor().ready()
    claim = desk.send()
    desk.notice(claim.offer.quote_hash)
    (record,) = records(desk)
    assert record.token is None
    desk.read(used=[claim.offer.nonce])
    assert acknowledged(desk.effects) == []


@pytest.mark.parametrize("data", [{"quote_hash": 7}, {"news": "of a kind that is not known"}, []])
def test_a_frame_that_cannot_be_understood_does_not_come_for_ever(data: Any) -> None:
    """Left unacknowledged, 256 of them would block the queue for what can be understood."""
    desk = executor()
    frame = {"method": "event", "params": {"subscription": "s", "data": data, "seq": 8}}
    assert acknowledged(desk.hear(frame)) == [["s", 8]]


def test_a_frame_too_large_to_be_read_is_not_read_for_its_number() -> None:
    padded = {"method": "event", "params": {"subscription": "s", "seq": 8, "padding": "x" * FRAME_CHARACTERS_MAX}}
    assert acknowledged(executor().hear(padded)) == []


@pytest.mark.parametrize("frame", ["{", "[]", '{"method":"ping"}', '{"method":"event","params":{"seq":"8"}}'])
def test_a_frame_without_a_number_is_not_acknowledged(frame: str) -> None:
    assert acknowledged(executor().hear(frame)) == []


def test_the_fate_of_another_record_is_nothing_to_it() -> None:
    assert executor().feed(Published(token="another record", offset=1)) == []


DEMAND = {"direction": "btc_to_eure", "amount_in": "20000"}


@pytest.mark.parametrize("allowed", [True, False])
def test_a_trade_in_the_world_with_and_without_the_guarantee(*, allowed: bool) -> None:
    """The notice comes before the block is final, so it is repeated; it is recorded once and acknowledged once."""
    with WholeDesk(instance_id="desk-1", relay=RelaySettings(guaranteed_delivery=allowed, ack_window_ms=500)) as desk:
        quote_id = desk.demand(**DEMAND)
        desk.run(15)
        assert [event.payload.state.value for event in desk.chain(TRADE_RESULT, quote_id)][-1] == "settled"
        assert len(desk.chain(RAW_QUOTE_STATUS, quote_id)) == 1
        counted = [effect.labels for _who, effect in desk.log if isinstance(effect, Count)]
        sent = [effect for _who, effect in desk.log]
        assert bool(acknowledged(sent)) is allowed
        assert ({"outcome": "taken"} in counted) is allowed
        assert {"outcome": "refused"} not in counted
        seen = len(desk.log)
        desk.run(5)
        later = [effect.labels for _who, effect in desk.log[seen:] if isinstance(effect, Count)]
        assert not [labels for labels in later if "whose" in labels], "an acknowledged notice never comes again"
