"""The solver relay's dialect as a pure object: frames in, exactly one event each; requests out as texts.

No socket, no clock. Both envelopes of events and both forms of errors are understood (protocol/message-bus sections 3
and 7.3); unknown fields are ignored, unknown frames are named.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from unrip.domain.values import AMOUNT_MAX, Amount, Value, from_epoch_ms, shown
from unrip.net.exact import NotExact, decode, instant, integer, mapping, text, whole

#: The relay's frames stay below 4 KiB; a much larger one is refused before it is parsed.
FRAME_CHARACTERS_MAX = 256 * 1024
#: How many requests may wait for their reply; beyond it the oldest are forgotten.
AWAITED_MAX = 4_096
#: How long an offer must live where the request does not say: the requester's default (section 5).
MIN_DEADLINE_DEFAULT_MS = 60_000
#: No auction lasts longer than a day; a longer duration is not believed.
DURATION_MS_MAX = 86_400_000

#: The largest count that is not read as milliseconds since 1970: up to it, it counts seconds, or nothing.
_SECONDS_BELOW = 10**11
_ID_CHARACTERS_MAX = 256
_TEXT_SHOWN_MAX = 500

QUOTE = "quote"
QUOTE_STATUS = "quote_status"
ACKNOWLEDGE = "acknowledge"


class Stream(Value):
    """A subscription: its name, and for quotes the tokens that may come in and go out (empty: all)."""

    name: str
    tokens: tuple[str, ...] = ()
    #: Whether notices are repeated until acknowledged (section 8.1); needs an instance id in the URL, and takes no
    #: tokens.
    guaranteed: bool = False


class QuoteRequested(Value):
    """A taker asks for offers. Amounts are as given: the decision refuses a request with both or with none."""

    quote_id: str
    #: What the taker gives and we would receive.
    asset_in: str
    asset_out: str
    amount_in: Amount | None
    amount_out: Amount | None
    min_deadline_ms: int
    min_wait_ms: int | None
    max_wait_ms: int | None
    router_leg: bool
    #: Whether the relay marks the request as one for the price only.
    dry: bool
    partner_id: str | None
    #: The subscription that it came for, by the relay's number; None where the event does not name it.
    subscription: str | None = None
    #: The venue's own time of the request, where it gave a readable one.
    asked_at: datetime | None = None


class StatusNotice(Value):
    """Somebody's offer was executed, perhaps ours."""

    quote_hash: str
    intent_hash: str | None
    tx_hash: str | None
    #: Present only on the extended stream.
    event_type: str | None
    #: The id that the acknowledgement must name; present only with guaranteed delivery.
    seq: int | None
    #: The subscription that delivered it, where the relay names it.
    subscription: str | None = None


class Subscribed(Value):
    """A stream will be delivered."""

    stream: str
    subscription_id: str


class SubscriptionRefused(Value):
    """A stream will not be delivered, or not in the way that was asked for."""

    stream: str
    guaranteed: bool
    code: int | None
    text: str


class Reply(Value):
    """The relay's reply to a request of ours."""

    id: int | None
    #: The name that we gave the request; None when nothing was asked under this id, or long ago.
    request: str | None
    ok: bool
    code: int | None
    text: str


class Unknown(Value):
    """A well-formed frame of no kind that we know."""

    reason: str


class Malformed(Value):
    """A frame that is not what it claims to be."""

    reason: str


RelayEvent = QuoteRequested | StatusNotice | Subscribed | SubscriptionRefused | Reply | Unknown | Malformed


class RelaySession:
    """Speak with the relay over whatever connection there is."""

    def __init__(self, streams: tuple[Stream, ...]) -> None:
        self.streams = streams
        #: Stream name to subscription id, for the streams that were confirmed on this connection.
        self.subscriptions: dict[str, str] = {}
        #: Subscriptions that we gave up on this connection: what still comes for them is not ours.
        self._given_up: set[str] = set()
        self._next_id = 1
        self._awaited: dict[int, str] = {}
        self._subscribing: dict[int, Stream] = {}

    def opened(self) -> list[str]:
        """A new connection knows nothing of the earlier one: forget it, and subscribe to every stream."""
        self.subscriptions.clear()
        self._given_up.clear()
        self._awaited.clear()
        self._subscribing.clear()
        return [self._subscribe(stream) for stream in self.streams]

    def resubscribe(self, streams: tuple[Stream, ...]) -> list[str]:
        """Give up the present subscriptions of these streams and subscribe to them again, with their new tokens."""
        changed = {stream.name for stream in streams}
        self.streams = tuple(stream for stream in self.streams if stream.name not in changed) + streams
        given_up = [self.subscriptions.pop(name) for name in sorted(changed & self.subscriptions.keys())]
        self._given_up.update(given_up)
        frames = [self.request("unsubscribe", json.dumps([name]), name="unsubscribe") for name in given_up]
        return frames + [self._subscribe(stream) for stream in streams]

    def is_foreign(self, quote: QuoteRequested) -> bool:
        """Whether it came for a subscription that is not ours on this connection, or is no longer ours."""
        ours = self.subscriptions.get(QUOTE, quote.subscription)
        return quote.subscription is not None and (quote.subscription != ours or quote.subscription in self._given_up)

    def without_guarantee(self, name: str) -> list[str]:
        """Subscribe to a stream with no guarantee on this connection, after the guaranteed form was refused."""
        return [self._subscribe(Stream(name=name))]

    def acknowledge(self, notice: StatusNotice) -> str | None:
        """The frame that ends the repetition of a guaranteed notice, None for a notice that is not repeated.

        The `Reply` to it is named `acknowledge`.
        """
        return self._acknowledgement(notice.subscription, notice.seq)

    def acknowledge_unread(self, frame: str) -> str | None:
        """The same for an event that is unknown or malformed: repeated for ever, it would block the queue."""
        if len(frame) > FRAME_CHARACTERS_MAX:
            return None
        try:
            params = mapping(mapping(decode(frame), "the frame").get("params"), "params")
            return self._acknowledgement(_hint(params.get("subscription")), whole(params.get("seq")))
        except NotExact:
            return None

    def _acknowledgement(self, subscription: str | None, seq: int | None) -> str | None:
        subscription = subscription or self.subscriptions.get(QUOTE_STATUS)
        if seq is None or subscription is None:
            return None
        return self.request(ACKNOWLEDGE, json.dumps([subscription, seq]), name=ACKNOWLEDGE)

    def request(self, method: str, params: str, *, name: str) -> str:
        """The frame of a request; `params` is the JSON text of its array and goes out as it is.

        `name` returns in the `Reply`.
        """
        request_id = self._take_id()
        self._awaited[request_id] = name
        if len(self._awaited) > AWAITED_MAX:
            del self._awaited[next(iter(self._awaited))]
        return f'{{"jsonrpc":"2.0","id":{request_id},"method":{json.dumps(method)},"params":{params}}}'

    def quote_response(self, params: str, *, name: str) -> str:
        """The frame of an answer, around the very text that was recorded."""
        return self.request("quote_response", params, name=name)

    def receive(self, frame: str) -> RelayEvent:
        """Read a frame; never raises."""
        if len(frame) > FRAME_CHARACTERS_MAX:
            return Malformed(reason=f"{len(frame)} characters are more than the {FRAME_CHARACTERS_MAX} of any frame")
        try:
            document = mapping(decode(frame), "the frame")
            if "method" in document:
                return _event(document)
            if "id" in document and ("result" in document or document.get("error") is not None):
                return self._reply(document)
        except NotExact as error:
            return Malformed(reason=str(error))
        return Unknown(reason="neither an event nor a reply")

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _subscribe(self, stream: Stream) -> str:
        tokens = list(stream.tokens)
        form: list[Any] = [{"tokens_in": tokens, "tokens_out": tokens}] if tokens else []
        if stream.guaranteed:
            form = [None, True]
        request_id = self._take_id()
        self._subscribing[request_id] = stream
        return json.dumps(
            {"jsonrpc": "2.0", "id": request_id, "method": "subscribe", "params": [stream.name, *form]},
            separators=(",", ":"),
        )

    def _reply(self, document: dict[str, Any]) -> Reply | Subscribed | SubscriptionRefused:
        request_id = None if document["id"] is None else whole(document["id"])
        ok, code, said = _outcome(document)
        stream = self._subscribing.pop(request_id, None) if request_id is not None else None
        if stream is None:
            request = self._awaited.pop(request_id, None) if request_id is not None else None
            return Reply(id=request_id, request=request, ok=ok, code=code, text=said)
        if not ok or not isinstance(document["result"], str):
            return SubscriptionRefused(stream=stream.name, guaranteed=stream.guaranteed, code=code, text=said)
        self.subscriptions[stream.name] = said
        return Subscribed(stream=stream.name, subscription_id=said)


def _outcome(document: dict[str, Any]) -> tuple[bool, int | None, str]:
    """Whether it went well, the error's code, and the text. An error beside a result wins."""
    error = document.get("error")
    if error is None:
        result = document.get("result")
        return True, None, result[:_TEXT_SHOWN_MAX] if isinstance(result, str) else shown(result)
    if isinstance(error, str):
        return False, None, error[:_TEXT_SHOWN_MAX]
    error = mapping(error, "the error")
    code = error.get("code")
    return False, None if code is None else whole(code), text(error.get("message"), "the message")[:_TEXT_SHOWN_MAX]


def _event(document: dict[str, Any]) -> RelayEvent:
    method = text(document["method"], "the method")
    if method not in {"event", "subscribe"}:
        return Unknown(reason=f"method {method[:40]!r}")
    params = mapping(document.get("params"), "params")
    nested = params.get("data")
    data = params if nested is None else mapping(nested, "params.data")
    if data.get("quote_id") is not None:
        return _quote(data, params)
    if data.get("quote_hash") is not None:
        return _status(data, params)
    return Unknown(reason="an event with neither quote_id nor quote_hash")


def _quote(data: dict[str, Any], params: dict[str, Any]) -> QuoteRequested:
    router_leg = data.get("protocol_fee_included")
    if router_leg is not None and not isinstance(router_leg, bool):
        raise NotExact("protocol_fee_included is not a truth value")
    min_deadline_ms = _duration_ms(data, "min_deadline_ms")
    return QuoteRequested(
        quote_id=_id(data, "quote_id"),
        asset_in=_id(data, "defuse_asset_identifier_in"),
        asset_out=_id(data, "defuse_asset_identifier_out"),
        amount_in=_amount(data, "exact_amount_in"),
        amount_out=_amount(data, "exact_amount_out"),
        min_deadline_ms=MIN_DEADLINE_DEFAULT_MS if min_deadline_ms is None else min_deadline_ms,
        min_wait_ms=_duration_ms(data, "min_wait_ms"),
        max_wait_ms=_duration_ms(data, "max_wait_ms"),
        router_leg=bool(router_leg),
        dry=_dry(params.get("trusted_metadata")) or _dry(data.get("trusted_metadata")),
        partner_id=_partner(params.get("metadata")) or _partner(data.get("metadata")),
        subscription=_hint(params.get("subscription")),
        asked_at=_asked_at(params.get("metadata")) or _asked_at(data.get("metadata")),
    )


def _status(data: dict[str, Any], params: dict[str, Any]) -> StatusNotice:
    seq = params.get("seq")
    return StatusNotice(
        quote_hash=_id(data, "quote_hash"),
        intent_hash=_optional_id(data, "intent_hash"),
        tx_hash=_optional_id(data, "tx_hash"),
        event_type=_optional_id(data, "event_type"),
        seq=None if seq is None else whole(seq),
        subscription=_hint(params.get("subscription")),
    )


def _id(data: dict[str, Any], field: str) -> str:
    value = text(data.get(field), field)
    if len(value) > _ID_CHARACTERS_MAX:
        raise NotExact(f"{field} has {len(value)} characters")
    if "\0" in value:  # no database can keep such a text as it is, and two ids would become one
        raise NotExact(f"{field} holds a NUL")
    return value


def _optional_id(data: dict[str, Any], field: str) -> str | None:
    return None if data.get(field) is None else _id(data, field)


def _amount(data: dict[str, Any], field: str) -> Amount | None:
    value = _optional_id(data, field)
    if value is None:
        return None
    try:
        amount = Amount.parse(value)
    except ValueError as error:
        raise NotExact(f"{field}: {error}") from None
    if amount > AMOUNT_MAX:
        raise NotExact(f"{field} does not fit into 127 bits")
    return amount


def _duration_ms(data: dict[str, Any], field: str) -> int | None:
    value = data.get(field)
    if value is None:
        return None
    milliseconds = integer(value)
    if abs(milliseconds) > DURATION_MS_MAX:
        raise NotExact(f"{field} is longer than a day")
    return milliseconds


def _partner(metadata: object) -> str | None:
    """A hint of the relay that nobody signs."""
    return _hint(metadata.get("partner_id")) if isinstance(metadata, dict) else None


def _asked_at(metadata: object) -> datetime | None:
    """The time of the request, in milliseconds since 1970 or as a text; a hint that is left out where it is neither."""
    given = metadata.get("quote_timestamp") if isinstance(metadata, dict) else None
    try:
        if isinstance(given, str):
            return instant(given)
        milliseconds = 0 if given is None else integer(given)
        return from_epoch_ms(milliseconds) if milliseconds > _SECONDS_BELOW else None
    except (ValueError, OverflowError):
        return None


def _dry(metadata: object) -> bool:
    """Whether the relay says that only the price is asked for (protocol/message-bus section 5)."""
    asked = metadata.get("quote_request_data") if isinstance(metadata, dict) else None
    return isinstance(asked, dict) and asked.get("dry") is True


def _hint(value: object) -> str | None:
    """The value where it is a text; no hint is ever a reason to refuse a frame."""
    return value[:_ID_CHARACTERS_MAX] if isinstance(value, str) else None
