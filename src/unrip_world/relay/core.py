"""The relay: sockets of solvers, their subscriptions and answers, the auctions, the notices of settlements."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from unrip_world.chain.core import Block, Chain
from unrip_world.codec import NS_PER_MS, decode_json
from unrip_world.config import RelaySettings
from unrip_world.effects import Effect, Send
from unrip_world.faults import Faults
from unrip_world.kept import Kept
from unrip_world.relay.auction import Answer, Auction, Offer, QuoteRequest
from unrip_world.relay.checks import (
    LATE,
    AnswerRefusedError,
    AnswerRules,
    check_answer,
    is_decline,
    read_parameters,
)
from unrip_world.relay.delivery import GuaranteedQueue, QueueMemory, Subscription, read_filters
from unrip_world.relay.journal import Journal, Submission, signed_in
from unrip_world.relay.settlement import Settlement, Settlements
from unrip_world.relay.stranger import Stranger
from unrip_world.relay.wire import Wire
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.payload import decode_payload

AUCTIONS_KEPT = 5_000
OFFERS_KEPT = 10_000
_STREAMS = ("quote", "quote_status")
_GUARANTEED_ONLY_STATUS = "guaranteed delivery is only available on quote_status and shield_status"


class FrameRefusedError(Exception):
    """A request of a socket cannot be served; the socket gets the text."""


@dataclass(kw_only=True)
class Session:
    """One solver socket."""

    connection: int
    solver: str
    instance_id: str | None
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def stream(self, name: str) -> list[Subscription]:
        """Give the subscriptions of one stream."""
        return [subscription for subscription in self.subscriptions.values() if subscription.stream == name]


class Relay:
    """See the module. Frames come in by `on_frame`, time by `advance`; both return what to send."""

    def __init__(
        self,
        *,
        settings: RelaySettings,
        verifier: Verifier,
        chain: Chain,
        faults: Faults,
        stranger: Stranger,
        ids: Random,
    ) -> None:
        self._settings, self._verifier, self._chain, self._faults, self._ids = settings, verifier, chain, faults, ids
        self._stranger = stranger
        self._rules = AnswerRules(contract_id=verifier.contract_id, check_balance=settings.check_balance)
        self._wire = Wire(envelope=settings.envelope, error_form=settings.error_form)
        self._sessions: dict[int, Session] = {}
        self._queues: dict[tuple[str, str], GuaranteedQueue] = {}
        self._open: dict[str, Auction] = {}
        self.auctions: Kept[str, Auction] = Kept(bound=AUCTIONS_KEPT)
        self.offers: Kept[str, Offer] = Kept(bound=OFFERS_KEPT)
        self.settlements = Settlements(chain=chain, faults=faults, status_at=settings.status_at)
        self.journal = Journal()
        self._methods: dict[str, Callable[[Session, object, int], object]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "acknowledge": self._acknowledge,
        }

    # -- sockets

    def connections_of(self, solver: str) -> list[int]:
        """The sockets of this solver."""
        return [session.connection for session in self._sessions.values() if session.solver == solver]

    def on_open(self, connection: int, *, solver: str, instance_id: str | None) -> None:
        """Admit a socket whose token was accepted."""
        self._sessions[connection] = Session(connection=connection, solver=solver, instance_id=instance_id)

    def on_close(self, connection: int) -> None:
        """Forget a socket with all its subscriptions."""
        self._sessions.pop(connection, None)

    def on_frame(self, connection: int, text: str, now_ns: int) -> list[Effect]:
        """Serve one request of a socket."""
        session = self._sessions[connection]
        try:
            request = decode_json(text)
        except ValueError:
            return [self._wire.reply(session.connection, None, error={"code": -32700, "message": "Parse error"})]
        if not isinstance(request, dict):
            return [self._wire.reply(session.connection, None, error={"code": -32600, "message": "Invalid Request"})]
        request_id, method = request.get("id"), request.get("method")
        if method == "quote_response":
            return self._quote_response(session, request, text, now_ns)
        if method not in self._methods:
            return [
                self._wire.reply(session.connection, request_id, error={"code": -32601, "message": "Method not found"})
            ]
        try:
            result = self._methods[method](session, request.get("params"), now_ns)
        except FrameRefusedError as refusal:
            return [self._wire.reply(session.connection, request_id, error={"code": -32602, "message": str(refusal)})]
        lost = method == "subscribe" and self._faults.get("relay", "lose_confirmations") is not None
        replies = [] if lost else [self._wire.reply(session.connection, request_id, result=result)]
        return [*replies, *self._deliver_guaranteed(session, now_ns)]

    def _subscribe(self, session: Session, parameters: object, _now_ns: int) -> str:
        stream, filters, guaranteed = (*_as_list(parameters), None, None, None)[:3]
        if stream not in _STREAMS:
            raise FrameRefusedError(f"unknown subscription {stream!r}")
        refusing = self._faults.get("relay", "refuse_subscriptions")
        if refusing is not None and (guaranteed or not refusing["guaranteed_only"]):
            raise FrameRefusedError(refusing["message"])
        if guaranteed:
            self._require_guaranteed(session, stream, filters)
        try:
            tokens_in, tokens_out = read_filters(filters)
        except TypeError as error:
            raise FrameRefusedError(str(error)) from error
        subscription = Subscription(
            subscription_id=self.new_id(),
            stream=stream,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            guaranteed=bool(guaranteed),
        )
        # One subscription per stream and socket: subscribing again replaces the filters.
        for old in session.stream(stream):
            del session.subscriptions[old.subscription_id]
        session.subscriptions[subscription.subscription_id] = subscription
        return subscription.subscription_id

    def _require_guaranteed(self, session: Session, stream: str, filters: object) -> None:
        if stream != "quote_status":
            raise FrameRefusedError(_GUARANTEED_ONLY_STATUS)
        if not self._settings.guaranteed_delivery:
            raise FrameRefusedError("guaranteed delivery is not enabled for this partner")
        if session.instance_id is None:
            raise FrameRefusedError("guaranteed delivery needs ?instance_id= on the connection URL")
        if filters:
            raise FrameRefusedError("guaranteed delivery takes no filters")
        self._queue(session.solver, session.instance_id).reconnected()

    def _queue(self, solver: str, instance_id: str) -> GuaranteedQueue:
        new = GuaranteedQueue(ack_window_ms=self._settings.ack_window_ms)
        return self._queues.setdefault((solver, instance_id), new)

    def memory(self) -> list[QueueMemory]:
        """Give the notices that still have to be delivered."""
        return [
            queue.memory(solver=solver, instance_id=instance_id)
            for (solver, instance_id), queue in self._queues.items()
        ]

    def resume(self, memories: list[QueueMemory]) -> None:
        """Go on delivering what was not acknowledged."""
        for memory in memories:
            self._queue(memory.solver, memory.instance_id).resume(memory)

    def _unsubscribe(self, session: Session, parameters: object, _now_ns: int) -> str:
        for subscription_id in _as_list(parameters):
            if not isinstance(subscription_id, str) or session.subscriptions.pop(subscription_id, None) is None:
                raise FrameRefusedError("subscription not found")
        return "OK"

    def _acknowledge(self, session: Session, parameters: object, _now_ns: int) -> str:
        match parameters:
            case [str() as subscription_id, int() as seq] if subscription_id in session.subscriptions:
                queue = self._queues.get((session.solver, session.instance_id or ""))
                if queue is not None:
                    queue.acknowledge(seq)
                return "OK"
        raise FrameRefusedError("acknowledge takes [subscription, seq]")

    # -- answers

    def _quote_response(self, session: Session, request: dict[str, Any], text: str, now_ns: int) -> list[Effect]:
        solver, offer = session.solver, None
        quote_id, signed = _quote_id_of(request.get("params")), signed_in(request)
        self.journal.submissions.append(
            Submission(solver=solver, quote_id=quote_id, quote_hash=_hash_of(signed), received_ns=now_ns, raw=text)
        )
        # A signed offer is executable by whoever holds it, whatever the relay is about to say.
        if (leaking := self._faults.get("relay", "stranger")) is not None:
            self._stranger.overhear(signed, due_ns=now_ns + leaking["after_ms"] * NS_PER_MS)
        try:
            offer = self._judge(session, request, now_ns)
            reply = self._wire.reply(session.connection, request.get("id"), result="OK")
            told = "OK"
        except AnswerRefusedError as refusal:
            told = str(refusal)
            reply = self._refusal(session, request.get("id"), told)
        self._record(session, quote_id, told, offer, now_ns)
        return [] if self._faults.get("relay", "lose_replies") is not None else [reply]

    def _judge(self, session: Session, request: dict[str, Any], now_ns: int) -> Offer | None:
        """Give the offer, or None for a decline; raises AnswerRefusedError."""
        if (fault := self._faults.get("relay", "refuse_answers")) is not None:
            raise AnswerRefusedError(fault["message"])
        if request.get("id") is None:
            raise AnswerRefusedError("id is required")
        answer = read_parameters(request.get("params"))
        if self._settings.answers_from_subscriber_only and not session.stream("quote"):
            raise AnswerRefusedError("this connection has no quote subscription")
        auction = self._open.get(answer["quote_id"])
        if auction is None or not auction.accepts_answers(now_ns):
            raise AnswerRefusedError(LATE)
        if is_decline(answer):
            return None
        return check_answer(
            answer,
            auction=auction,
            solver=session.solver,
            state=self._verifier.storage.at(self._chain.head.height),
            rules=self._rules,
            now_ns=now_ns,
        )

    def _record(self, session: Session, quote_id: str | None, told: str, offer: Offer | None, now_ns: int) -> None:
        if offer is not None:
            what = "answers"
            self.offers[offer.quote_hash] = offer
        else:
            what = {"OK": "declined", LATE: "late"}.get(told, "refused")
        self.journal.count(session.solver, what)
        auction = self.auctions.get(quote_id or "")
        if auction is None:
            return
        elapsed_ns = now_ns - auction.published_ns
        self.journal.timed(session.solver, elapsed_ns / NS_PER_MS)
        answer = Answer(solver=session.solver, received_ms=elapsed_ns // NS_PER_MS, reply=told, offer=offer)
        auction.add(answer, now_ns=now_ns)

    def _refusal(self, session: Session, request_id: object, message: str) -> Send:
        fault = self._faults.get("relay", "refuse_answers")
        code = -32000 if fault is None else fault["code"]
        return self._wire.reply(session.connection, request_id, error={"code": code, "message": message})

    # -- auctions

    def new_id(self) -> str:
        """Make a fresh UUID text."""
        return str(UUID(int=self._ids.getrandbits(128), version=4))

    def publish(self, request: QuoteRequest, now_ns: int) -> list[Effect]:
        """Open an auction and send it to every subscriber that wants it."""
        auction = Auction(request=request, published_ns=now_ns)
        self._open[request.quote_id] = self.auctions[request.quote_id] = auction
        metadata = dict(request.metadata) or None
        return [
            self._wire.event(session.connection, subscription, request.event(), metadata=metadata)
            for session in self._sessions.values()
            for subscription in session.stream("quote")
            if subscription.wants(request.asset_in, request.asset_out)
        ]

    def closed(self, now_ns: int) -> list[Auction]:
        """Take the auctions whose window is over; one without an offer ends here."""
        closed = [auction for auction in self._open.values() if now_ns >= auction.closes_ns]
        for auction in closed:
            del self._open[auction.request.quote_id]
            auction.status = "not_accepted" if auction.offers else "no_answer"
        return closed

    def accept(self, auction: Auction, offer: Offer, *, taker: Mapping[str, Any], intent_hash: str) -> Settlement:
        """Publish the batch of an accepted offer and the taker's own intent."""
        settlement = self.settlements.publish(
            quote_id=auction.request.quote_id, offers=[offer], asker=[taker], intent_hashes=[intent_hash]
        )
        auction.status, auction.winner = "broadcast", offer
        auction.tx_hash, auction.intent_hash = settlement.tx_hash, intent_hash
        self.journal.count(offer.solver, "wins")
        return settlement

    # -- settlements

    def unacknowledged(self) -> dict[str, int]:
        """Notices that wait for an acknowledgement, by solver and instance."""
        return {f"{solver}/{instance}": queue.waiting for (solver, instance), queue in self._queues.items()}

    def on_block(self, block: Block, now_ns: int) -> None:
        """Note which batches ended in this block; notices follow by `advance`."""
        for settlement in self.settlements.on_block(block, now_ns=now_ns):
            what = "settlements" if settlement.status == "settled" else "failures"
            for offer in settlement.offers:
                self.journal.count(offer.solver, what)
            auction = self.auctions.get(settlement.quote_id or "")
            if auction is not None:
                auction.status, auction.error = settlement.status, settlement.error

    def on_revert(self, block: Block, *, lost: bool) -> None:
        """Take back what ended in this block."""
        for was, settlement in self.settlements.on_revert(block, lost=lost):
            for offer in settlement.offers:
                self.journal.count(offer.solver, "settlements" if was == "settled" else "failures", by=-1)
                self.journal.count(offer.solver, "failures", by=int(lost))
            auction = self.auctions.get(settlement.quote_id or "")
            if auction is not None:
                auction.status, auction.error = settlement.status, settlement.error

    def leak(self, quote_hash: str, now_ns: int) -> None:
        """Let the stranger have this answer, or the newest one for an empty hash, if there is such."""
        for submission in reversed(self.journal.submissions):
            if submission.quote_hash is not None and quote_hash in ("", submission.quote_hash):
                self._stranger.overhear(submission.signed, due_ns=now_ns)
                return

    def tell_falsely(self, quote_hash: str, now_ns: int) -> list[Effect]:
        """Send a false notice that this offer settled, or for an empty hash the newest that did not, if any."""
        unsettled = (known for known in reversed(self.offers) if not self.settlements.is_settled(known))
        if told := quote_hash or next(unsettled, None):
            self.settlements.tell_falsely(told, now_ns)
        return self.advance(now_ns)

    def advance(self, now_ns: int) -> list[Effect]:
        """Send the notices that are due, first deliveries and repeats."""
        effects: list[Effect] = []
        for notice in self.settlements.due_notices(now_ns):
            for queue in self._queues.values():
                queue.push(notice)
            effects += [
                self._wire.event(session.connection, subscription, notice)
                for session in self._sessions.values()
                for subscription in session.stream("quote_status")
                if not subscription.guaranteed
            ]
        for session in self._sessions.values():
            effects += self._deliver_guaranteed(session, now_ns)
        return effects

    def next_at_ns(self) -> int | None:
        """When something is due next."""
        return min(self._moments(), default=None)

    def _moments(self) -> Iterator[int]:
        yield from (auction.closes_ns for auction in self._open.values())
        if (notice_ns := self.settlements.next_notice_ns()) is not None:
            yield notice_ns
        for session in self._sessions.values():
            for _, queue in self._guaranteed(session):
                if (due_ns := queue.next_due_ns()) is not None:
                    yield due_ns

    def _guaranteed(self, session: Session) -> Iterator[tuple[Subscription, GuaranteedQueue]]:
        for subscription in session.stream("quote_status"):
            queue = self._queues.get((session.solver, session.instance_id or ""))
            if subscription.guaranteed and queue is not None:
                yield subscription, queue

    def _deliver_guaranteed(self, session: Session, now_ns: int) -> list[Effect]:
        return [
            self._wire.event(session.connection, subscription, notice, seq=seq)
            for subscription, queue in self._guaranteed(session)
            for seq, notice in queue.due(now_ns)
        ]

    def broadcast(self, text: str) -> list[Effect]:
        """Send one text to every socket as it is."""
        return [Send(service="relay", connection=connection, text=text) for connection in self._sessions]


def _as_list(parameters: object) -> list[Any]:
    if not isinstance(parameters, list) or not parameters:
        raise FrameRefusedError("params must be a non-empty array")
    return parameters


def _quote_id_of(parameters: object) -> str | None:
    match parameters:
        case [{"quote_id": str() as quote_id}, *_]:
            return quote_id
    return None


def _hash_of(signed: object) -> str | None:
    try:
        return decode_payload(signed).intent_hash
    except PanicError:
        return None
