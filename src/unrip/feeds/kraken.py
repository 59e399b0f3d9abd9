"""Kraken's best bid and ask: WebSocket v2 as a pure object, and the REST fallback (sources/kraken).

Prices are exact decimals. A tick that is no price (one side missing, zero, crossed) is refused by name, never repaired.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from unrip.domain.market import PrimaryReading
from unrip.domain.values import Value
from unrip.net.exact import NotExact, decode, instant, mapping, positive, text
from unrip.net.http import HttpClient, HttpError, HttpUnavailable

#: How long to wait after the first refusal for asking too much that gives no time (section 9).
REST_PAUSE_S = 10
#: Kraken's own error texts for having asked too much, and the error number on the page of the gateway before it.
_TOO_MUCH = ("rate limit", "too many requests", "temporary lockout")
_GATEWAYS_LIMIT = re.compile(rb"\b1015\b")
#: Statuses with which a gateway reports it, or shuts us out for it.
_TOO_MUCH_STATUSES = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FORBIDDEN})

#: Ticker frames stay below 1 KiB; a much larger one is refused before it is parsed.
FRAME_CHARACTERS_MAX = 256 * 1024


class KrakenTick(Value):
    """The symbol's own ticker: the only frame that makes the price fresh (section 5)."""

    reading: PrimaryReading


class KrakenStatus(Value):
    """The state of the matching engine; prices are discovered in `online` only."""

    system: str


class Heartbeat(Value):
    """The connection is alive, which shows nothing about the price."""


class KrakenSubscribed(Value):
    """The subscription was acknowledged; it is alive only with the first tick."""


class KrakenRejected(Value):
    """Kraken refused a request of ours."""

    reason: str


class TickRefused(Value):
    """A ticker that is no price: `one_sided`, `not_positive` or `crossed`."""

    name: str


class Ignored(Value):
    """A well-formed frame without meaning for us."""


class Malformed(Value):
    """A frame that is not what it claims to be."""

    reason: str


KrakenEvent = (
    KrakenTick | KrakenStatus | Heartbeat | KrakenSubscribed | KrakenRejected | TickRefused | Ignored | Malformed
)


class KrakenSession:
    """Speak Kraken's WebSocket v2 for one symbol, over whatever connection there is."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._next_id = 1

    def opened(self) -> list[str]:
        """The frames that subscribe; the same again when a subscription has gone silent.

        Without the trigger `bbo` a quote can move a long way with no message at all (section 4.2).
        """
        params = {"channel": "ticker", "symbol": [self.symbol], "event_trigger": "bbo", "snapshot": True}
        frame = {"method": "subscribe", "req_id": self._next_id, "params": params}
        self._next_id += 1
        return [json.dumps(frame, separators=(",", ":"))]

    def receive(self, frame: str, received_at: datetime) -> KrakenEvent:
        """Read a frame; never raises."""
        if len(frame) > FRAME_CHARACTERS_MAX:
            return Malformed(reason=f"{len(frame)} characters are more than the {FRAME_CHARACTERS_MAX} of any frame")
        try:
            return self._read(mapping(decode(frame), "the frame"), received_at)
        except NotExact as error:
            return Malformed(reason=str(error))

    def _read(self, document: dict[str, Any], received_at: datetime) -> KrakenEvent:
        # The key is capitalised in one documented message (section 4.2), and stands with or without a method.
        refusal = document.get("error") or document.get("Error")
        if refusal:
            return KrakenRejected(reason=text(refusal, "the error")[:200])
        if document.get("method") == "subscribe":
            acknowledged = document.get("success") is True
            return KrakenSubscribed() if acknowledged else KrakenRejected(reason="refused without a text")
        channel = document.get("channel")
        if channel == "heartbeat":
            return Heartbeat()
        if channel == "status":
            return _status(document)
        if channel == "ticker":
            return self._ticker(document, received_at)
        return Ignored()

    def _ticker(self, document: dict[str, Any], received_at: datetime) -> KrakenEvent:
        """The newest entry of our symbol; other symbols may share the array."""
        ours = [entry for entry in _entries(document) if entry.get("symbol") == self.symbol]
        if not ours:
            return Ignored()
        tick = ours[-1]
        refused = refusal_of(tick.get("bid"), tick.get("ask"))
        if refused is not None:
            return TickRefused(name=refused)
        stamp = tick.get("timestamp")
        return KrakenTick(
            reading=PrimaryReading(
                bid=positive(tick["bid"]),
                ask=positive(tick["ask"]),
                observed_at=received_at,
                source_time=None if stamp is None else instant(stamp),
                transport="websocket",
            )
        )


def _status(document: dict[str, Any]) -> KrakenEvent:
    entries = _entries(document)
    if not entries:
        raise NotExact("a status without data")
    return KrakenStatus(system=text(entries[-1].get("system"), "system")[:40])


def _entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    data = document.get("data")
    if not isinstance(data, list):
        raise NotExact("data is not a list")
    return [mapping(entry, "an entry of data") for entry in data]


def refusal_of(bid: object, ask: object) -> str | None:
    """Why two sides are no price, by name; None when they are one.

    Raises:
        NotExact: a side is not a number at all.

    """
    if bid is None or ask is None:
        return "one_sided"
    for side in (bid, ask):
        if isinstance(side, int | Decimal) and not isinstance(side, bool) and side <= 0:
            return "not_positive"
    return "crossed" if positive(bid) > positive(ask) else None


class KrakenRest:
    """The fallback: its answers have no time stamp, so their age counts from when they were asked for."""

    def __init__(self, client: HttpClient, base_url: str, *, pair: str, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._pair = pair
        self._clock = clock

    async def ticker(self) -> PrimaryReading:
        """The best bid and ask.

        Raises:
            KrakenUnavailable: no answer, an error, or something that is no price.

        """
        asked_at = self._clock()
        document = await self._ask("Ticker", {"pair": self._pair})
        return parse_rest_ticker(document, asked_at)

    async def system(self) -> str:
        """The state of the matching engine, which a ticker does not contain.

        Raises:
            KrakenUnavailable: see `ticker`.

        """
        try:
            return text(_result(await self._ask("SystemStatus", {})).get("status"), "status")[:40]
        except NotExact as error:
            raise KrakenUnavailable(str(error), pause_s=_pause_of_words(str(error))) from None

    async def _ask(self, endpoint: str, params: dict[str, str]) -> Any:
        try:
            return await self._client.get(f"{self._base_url}/0/public/{endpoint}", params=params)
        except HttpError as error:
            raise KrakenUnavailable(str(error), pause_s=_pause_of_gateway(error)) from None


class KrakenUnavailable(Exception):  # noqa: N818 - an outcome: there is no reading
    """Kraken's REST service gave no reading."""

    def __init__(self, message: str, *, pause_s: int | None = None) -> None:
        super().__init__(message)
        #: How long not to ask again: we asked too much, and earlier questions make it worse.
        self.pause_s = pause_s


def _pause_of_gateway(error: HttpError) -> int | None:
    """How long to keep away, by what came instead of an answer; None where it was not for asking too much."""
    if error.status not in _TOO_MUCH_STATUSES and not _GATEWAYS_LIMIT.search(error.page):
        return None
    named = error.retry_after_s if isinstance(error, HttpUnavailable) else None
    return max(REST_PAUSE_S, named or 0)


def parse_rest_ticker(document: object, observed_at: datetime) -> PrimaryReading:
    """The reading in a REST answer.

    Raises:
        KrakenUnavailable: with Kraken's own error text, or what is wrong with the answer.

    """
    try:
        market = _only_market(_result(document))
        bid, ask = _rest_price(market, "b"), _rest_price(market, "a")
    except NotExact as error:
        raise KrakenUnavailable(f"kraken rest: {error}", pause_s=_pause_of_words(str(error))) from None
    if bid > ask:
        raise KrakenUnavailable("kraken rest: crossed")
    return PrimaryReading(bid=bid, ask=ask, observed_at=observed_at, source_time=None, transport="rest")


def _pause_of_words(said: str) -> int | None:
    """The same by Kraken's own error texts, which come with HTTP 200."""
    return REST_PAUSE_S if any(words in said.lower() for words in _TOO_MUCH) else None


def _result(document: object) -> dict[str, Any]:
    """The result of an answer; errors come with HTTP 200 and a non-empty list (section 9)."""
    answer = mapping(document, "the answer")
    errors = answer.get("error")
    if errors:
        said = [error for error in errors if isinstance(error, str)] if isinstance(errors, list) else []
        raise NotExact(f"refused: {'; '.join(said)[:200] or 'no text'}")
    return mapping(answer.get("result"), "the result")


def _only_market(result: dict[str, Any]) -> dict[str, Any]:
    """The single value: its key is spelt otherwise than in the request and is not guessed (section 3)."""
    if len(result) != 1:
        raise NotExact(f"{len(result)} markets instead of one")
    return mapping(next(iter(result.values())), "the market")


def _rest_price(market: dict[str, Any], side: str) -> Decimal:
    levels = market.get(side)
    if not isinstance(levels, list) or not levels or not isinstance(levels[0], str):
        raise NotExact(f"side {side} has no price")
    return positive(decode(levels[0]))
