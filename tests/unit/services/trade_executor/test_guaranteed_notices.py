"""Guaranteed settlement notices: nothing is acknowledged before what it caused is committed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.cases import NOW
from support.executor import VIEW, Executor, a_reading, after
from support.whole_desk import WholeDesk
from unrip.domain.attempt import AttemptState, Offer
from unrip.frame.contract import (
    Count,
    Effect,
    Log,
    Publish,
    Published,
    PublishFailed,
    SetTimer,
    Started,
    TimerFired,
)
from unrip.messages.topics import DEAD_LETTER, RAW_QUOTE_STATUS, TRADE_RESULT
from unrip.net.events import SendFrame, SocketClosed, SocketOpened
from unrip.net.reconnect import Cause
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import (
    ClaimOffer,
    FindOffer,
    LedgerLoaded,
    LedgerUnknown,
    OfferFound,
    VerifierRead,
)
from unrip.venues.near_intents.relay import FRAME_CHARACTERS_MAX
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
    desk.feed(SocketClosed(connection=RELAY, cause=Cause.CLOSED, reason="gone"))


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


def test_a_reading_that_is_not_committed_acknowledges_nothing() -> None:
    desk = executor()
    _hash, nonce = noticed(desk)
    the_broker_has_it(desk)
    desk.feed(VerifierRead(reading=a_reading(1_100, used=[nonce], credited=after(desk.last(ClaimOffer)))))
    assert desk.states[-1] == "settled"
    assert acknowledged(desk.effects) == []
    assert acknowledged(desk.noted()) == [["s", 4]]


def test_a_notice_of_others_is_acknowledged_once_the_ledger_does_not_know_it() -> None:
    desk = executor()
    assert acknowledged(desk.notice("somebody else's", seq=9)) == []
    assert desk.last(FindOffer) == FindOffer(quote_hash="somebody else's")
    assert acknowledged(desk.feed(OfferFound(quote_hash="somebody else's", offer=None))) == [["s", 9]]
    assert records(desk) == []
    assert desk.feed(OfferFound(quote_hash="somebody else's", offer=None)) == [], "an answer that nobody waits for"


def ended_before(desk: Executor, seq: int = 4) -> Offer:
    """A guaranteed notice about an offer of ours that was ended before it came, perhaps in an earlier life."""
    offer = msgspec.structs.replace(Executor().ready().send().offer, state=AttemptState.SETTLED)
    assert acknowledged(desk.notice(offer.quote_hash, seq=seq)) == []
    return offer


def test_a_notice_about_an_offer_that_has_ended_is_recorded_before_it_is_acknowledged() -> None:
    desk = executor()
    offer = ended_before(desk)
    assert acknowledged(desk.feed(OfferFound(quote_hash=offer.quote_hash, offer=offer))) == []
    (record,) = records(desk)
    assert (record.payload.quote_hash, record.correlation_id) == (offer.quote_hash, offer.correlation_id)
    assert acknowledged(the_broker_has_it(desk)) == [["s", 4]]
    assert acknowledged(desk.notice(offer.quote_hash, seq=5)) == [["s", 5]]
    assert len(records(desk)) == 1


def test_a_notice_that_comes_twice_before_the_ledger_answers_is_recorded_once() -> None:
    desk = executor()
    offer = ended_before(desk, seq=4)
    desk.notice(offer.quote_hash, seq=5)
    for _ in range(2):
        desk.feed(OfferFound(quote_hash=offer.quote_hash, offer=offer))
    assert len(records(desk)) == 1
    assert acknowledged(the_broker_has_it(desk)) == [["s", 5]], "the first delivery comes again and is then known"


def test_a_ledger_that_does_not_answer_lets_the_notice_come_again() -> None:
    desk = executor()
    offer = ended_before(desk)
    assert desk.feed(LedgerUnknown(call="find", reason="no answer")) == []
    assert desk.feed(OfferFound(quote_hash=offer.quote_hash, offer=offer)) == []
    assert FindOffer(quote_hash=offer.quote_hash) in desk.notice(offer.quote_hash, seq=4)


def test_a_ledger_that_hangs_is_asked_once_however_many_notices_come() -> None:
    desk = executor()
    for seq in range(50):
        desk.notice("theirs", seq=seq)
    for seq in range(50, 1_000):
        desk.notice(f"theirs, too: {seq}", seq=seq)
    assert desk.of(FindOffer) == [FindOffer(quote_hash="theirs")]
    said = [desk.feed(OfferFound(quote_hash=desk.last(FindOffer).quote_hash, offer=None)) for _ in range(256)]
    assert [acknowledged(effects) for effects in said] == [[["s", seq]] for seq in range(49, 305)]
    assert len(desk.of(FindOffer)) == 256, "the relay tells the others again"
    assert FindOffer(quote_hash="theirs, too: 305") in desk.notice("theirs, too: 305", seq=305)


def test_a_connection_that_ends_meanwhile_lets_no_look_up_pile_up() -> None:
    desk = executor()
    for seq in range(20):
        desk.notice("theirs", seq=seq)
        connection_lost(desk)
        desk.connect()
    assert len(desk.of(FindOffer)) == 1
    desk.notice("theirs", seq=1)
    assert acknowledged(desk.feed(OfferFound(quote_hash="theirs", offer=None))) == [["s", 1]]


def test_what_was_asked_on_an_earlier_connection_is_not_acknowledged_on_this_one() -> None:
    desk = executor()
    offer = ended_before(desk)
    connection_lost(desk)
    desk.connect()
    assert desk.feed(OfferFound(quote_hash=offer.quote_hash, offer=offer)) == []


def test_the_record_of_a_later_life_is_another_record() -> None:
    """The same id with another instant of receipt would be a conflict in the history."""
    ids = set()
    for seconds in (0, 5):
        desk = executor()
        desk.now += timedelta(seconds=seconds)
        offer = ended_before(desk)
        desk.feed(OfferFound(quote_hash=offer.quote_hash, offer=offer))
        ids.add(records(desk)[0].event_id)
    assert len(ids) == 2


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
    assert FindOffer(quote_hash="perhaps ours") in desk.notice("perhaps ours", seq=1)


def test_a_refused_guarantee_falls_back_to_the_plain_stream_on_this_connection() -> None:
    desk = Executor(guaranteed=True)
    desk.feed(SocketOpened(connection=RELAY))
    effects = desk.reply(error={"code": -32602, "message": "guaranteed delivery is not enabled for this partner"})
    assert Count(name="guarantees_refused") in effects
    assert [line.event for line in effects if isinstance(line, Log)] == ["guarantee_refused"]
    plain = json.loads(desk.last(SendFrame).text)
    assert (plain["method"], plain["params"]) == ("subscribe", ["quote_status"])
    refused = desk.reply(error="no such stream")
    assert [line.event for line in refused if isinstance(line, Log)] == ["subscription_refused"]
    assert not [effect for effect in refused if isinstance(effect, SendFrame)], "it falls once"
    assert "relay_not_subscribed" in desk.logic.not_ready(NOW)
    timer = next(each for each in effects if isinstance(each, SetTimer))
    assert timer.at == desk.now + timedelta(seconds=30)
    desk.feed(TimerFired(name=timer.name))
    assert json.loads(desk.last(SendFrame).text)["params"] == ["quote_status", None, True], "it asks again"
    connection_lost(desk)
    assert desk.feed(TimerFired(name=timer.name)) == []
    desk.connect()
    assert json.loads(desk.last(SendFrame).text)["params"] == ["quote_status", None, True]


@pytest.mark.parametrize(("said", "outcome"), [({"result": "OK"}, "taken"), ({"error": "unknown"}, "refused")])
def test_the_reply_to_an_acknowledgement_is_counted(said: dict[str, Any], outcome: str) -> None:
    desk = executor()
    desk.notice("somebody else's", seq=9)
    desk.feed(OfferFound(quote_hash="somebody else's", offer=None))
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
def test_a_frame_that_cannot_be_understood_is_kept_and_does_not_come_for_ever(data: Any) -> None:
    desk = executor()
    frame = {"method": "event", "params": {"subscription": "s", "data": data, "seq": 8}}
    assert acknowledged(desk.hear(frame)) == []
    letter = kept(desk)
    assert acknowledged(desk.feed(Published(token=letter, offset=3))) == [["s", 8]]
    assert desk.feed(Published(token=letter, offset=3)) == []


def kept(desk: Executor) -> str:
    """The token of the dead letter that was made last."""
    letter: Publish = desk.last(Publish)
    assert letter.topic == DEAD_LETTER
    assert letter.token is not None
    return letter.token


UNREADABLE = {"method": "event", "params": {"subscription": "s", "data": {"quote_hash": 7}, "seq": 8}}


def test_a_dead_letter_that_the_broker_did_not_take_lets_the_frame_come_again() -> None:
    desk = executor()
    desk.hear(UNREADABLE)
    assert desk.feed(PublishFailed(token=kept(desk), reason="no broker")) == []
    desk.hear(UNREADABLE)
    assert acknowledged(desk.feed(Published(token=kept(desk), offset=3))) == [["s", 8]]


def test_an_unreadable_frame_of_an_earlier_connection_is_not_acknowledged() -> None:
    desk = executor()
    desk.hear(UNREADABLE)
    connection_lost(desk)
    desk.connect()
    assert desk.feed(Published(token=desk.of(Publish)[0].token, offset=3)) == []


def test_a_frame_too_large_to_be_read_is_not_read_for_its_number() -> None:
    padded = {"method": "event", "params": {"subscription": "s", "seq": 8, "padding": "x" * FRAME_CHARACTERS_MAX}}
    desk = executor()
    desk.hear(padded)
    assert desk.feed(Published(token=kept(desk), offset=3)) == []


@pytest.mark.parametrize("frame", ["{", "[]", '{"method":"ping"}', '{"method":"event","params":{"seq":"8"}}'])
def test_a_frame_without_a_number_is_not_acknowledged(frame: str) -> None:
    desk = executor()
    desk.hear(frame)
    assert desk.feed(Published(token=kept(desk), offset=3)) == []


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
