"""One quote request and its auction: the window, the answers, the best of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unrip_world.codec import NS_PER_MS

DEFAULT_MIN_DEADLINE_MS = 60_000
#: The three numbers of the documented window (protocol: message bus, section 6).
TOP_LEVEL_FLOOR_MS = 300
TOP_LEVEL_GRACE_MS = 300
ROUTER_GRACE_MS = 50
#: Upper bound of a top-level auction whose asker names none.
DEFAULT_MAX_WAIT_MS = 3_000


@dataclass(frozen=True, kw_only=True, slots=True)
class QuoteRequest:
    """What solvers are asked. Amounts are those of the event: the solver signs them as they are."""

    quote_id: str
    asset_in: str
    asset_out: str
    exact_amount_in: str | None = None
    exact_amount_out: str | None = None
    min_deadline_ms: int | None = DEFAULT_MIN_DEADLINE_MS
    min_wait_ms: int | None = None
    max_wait_ms: int | None = None
    protocol_fee_included: bool | None = None
    #: Only the price is asked for (protocol: message bus, section 5).
    dry: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def event(self) -> dict[str, Any]:
        """Give the `data` of the quote event; absent fields are left out."""
        fields: dict[str, Any] = {
            "quote_id": self.quote_id,
            "defuse_asset_identifier_in": self.asset_in,
            "defuse_asset_identifier_out": self.asset_out,
            "exact_amount_in": self.exact_amount_in,
            "exact_amount_out": self.exact_amount_out,
            "min_deadline_ms": self.min_deadline_ms,
            "min_wait_ms": self.min_wait_ms,
            "max_wait_ms": self.max_wait_ms,
            "protocol_fee_included": self.protocol_fee_included,
            "trusted_metadata": {"quote_request_data": {"dry": True}} if self.dry else None,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def is_exact_in(self) -> bool:
        """Whether the taker fixed what it gives."""
        return self.exact_amount_in is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A checked answer that can be accepted: solver receives `amount_in` and gives `amount_out`."""

    solver: str
    account_id: str
    quote_hash: str
    amount_in: int
    amount_out: int
    deadline_ns: int
    signed: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One `quote_response` as it came, and the relay's reply to it."""

    solver: str
    received_ms: int
    reply: str
    offer: Offer | None


@dataclass(kw_only=True)
class Auction:
    """The life of one request.

    `status` goes open -> no_answer | not_accepted | quoted (told to an asker by RPC) | broadcast -> settled | failed.
    """

    request: QuoteRequest
    published_ns: int
    status: str = "open"
    answers: list[Answer] = field(default_factory=list)
    winner: Offer | None = None
    tx_hash: str | None = None
    intent_hash: str | None = None
    error: str | None = None
    _first_offer_ns: int | None = None

    @property
    def offers(self) -> list[Offer]:
        """All accepted answers."""
        return [answer.offer for answer in self.answers if answer.offer is not None]

    @property
    def closes_ns(self) -> int:
        """Instant from which answers are late."""
        request = self.request
        leg = bool(request.protocol_fee_included)
        floor_ms, grace_ms = (0, ROUTER_GRACE_MS) if leg else (TOP_LEVEL_FLOOR_MS, TOP_LEVEL_GRACE_MS)
        min_wait_ms = max(request.min_wait_ms or 0, floor_ms)
        default_ms = min_wait_ms + ROUTER_GRACE_MS if leg else DEFAULT_MAX_WAIT_MS
        max_wait_ms = max(default_ms if request.max_wait_ms is None else request.max_wait_ms, min_wait_ms)
        last_ns = self.published_ns + max_wait_ms * NS_PER_MS
        if self._first_offer_ns is None:
            return last_ns
        # No early close before min_wait; then a short grace once an answer is there.
        from_ns = max(self.published_ns + min_wait_ms * NS_PER_MS, self._first_offer_ns)
        return min(last_ns, from_ns + grace_ms * NS_PER_MS)

    def accepts_answers(self, now_ns: int) -> bool:
        """Whether an answer of this moment is in time."""
        return self.status == "open" and now_ns < self.closes_ns

    def add(self, answer: Answer, *, now_ns: int) -> None:
        """Record an answer; an offer may shorten the auction."""
        self.answers.append(answer)
        if answer.offer is not None and self._first_offer_ns is None:
            self._first_offer_ns = now_ns

    def best(self) -> Offer | None:
        """Give the offer that is best for the taker; the earlier of two equal ones."""
        if self.request.is_exact_in:
            return max(self.offers, key=lambda offer: offer.amount_out, default=None)
        return min(self.offers, key=lambda offer: offer.amount_in, default=None)
