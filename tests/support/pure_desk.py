"""Strategy and executor against the simulated world in one process, on virtual time, with no I/O at all.

The pump plays what lies between the pure objects: the broker, the ledger's twin, the sockets, and the three services
whose records the strategy reads. Every event goes through its wire form. Cheap enough for ten thousand markets; the
whole desk with its real wirings is the simulation's (`support/whole_desk.py`).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from simulation.stores import done
from support.cases import a_books, a_coingecko, a_kraken, a_peg, a_price
from support.engine import ARM, a_record
from support.switches import a_switchboard
from support.virtual_world import DESK, START_NS, at, nanoseconds, world
from support.world_chain import ACCOUNT, CONTRACT, WorldChain
from unrip.domain.attempt import TradeResult, result_id
from unrip.domain.inventory import IntentInventory, Reconciliation
from unrip.domain.pairs import Asset, Pair
from unrip.domain.policy import Policy
from unrip.domain.spending import SpendingCaps
from unrip.domain.status import HistoryVitals
from unrip.domain.values import Amount, Delta, Value
from unrip.frame.beat import Beat
from unrip.frame.contract import (
    CaughtUp,
    Effect,
    Publish,
    Published,
    RecordReceived,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
    Vitals,
)
from unrip.frame.jsonable import jsonable
from unrip.frame.logic import Logic
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.envelope import Envelope
from unrip.messages.topics import (
    INTENT_INVENTORY,
    MARKET_PRICE,
    SERVICE_STATUS,
    SWAP_DEMAND,
    TRADE_RESULT,
    Topic,
)
from unrip.net.events import FrameReceived, FrameSent, SendFrame, SocketOpened
from unrip.services.near_intents_ingest.records import demand_record
from unrip.services.registry import SERVICES
from unrip.services.relay_link import RELAY
from unrip.services.strategy_engine.effects import PolicyPersisted, RememberPolicy, Restore, Restored
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.trade_executor.effects import (
    ApplyReading,
    AuthorityJudged,
    ClaimDecided,
    ClaimOffer,
    DropAttempt,
    FillsRead,
    FindFill,
    FindOffer,
    LedgerLoaded,
    LedgerNoted,
    Lineage,
    LoadLedger,
    NoteAttempt,
    OfferFound,
    OfferSigned,
    OpenRelay,
    ProveAuthority,
    ReadFills,
    ReadPast,
    ReadUse,
    ReadVerifier,
    RejectCommand,
    SignOffer,
)
from unrip.services.trade_executor.intake.inspection import Inspector
from unrip.services.trade_executor.logic import TradeExecutor
from unrip.services.trade_executor.relay.client import RelayClient
from unrip.store.ledger import NonceEnding, OutboxEvent
from unrip.store.memory_ledger import MemoryLedger
from unrip.venues.near_intents.nonces import encode_nonce
from unrip.venues.near_intents.relay import QUOTE, QUOTE_STATUS, QuoteRequested, RelaySession, Stream
from unrip.venues.near_intents.signer import Signer
from unrip_world.assets import BTC, EURE
from unrip_world.demands import Demand
from unrip_world.effects import Effect as WorldEffect
from unrip_world.effects import Send

PAIR = Pair(
    base=Asset(symbol="BTC", asset_id=BTC, decimals=8, chain="btc:mainnet"),
    quote=Asset(symbol="EURe", asset_id=EURE, decimals=18, chain="eth:100"),
)
_EXECUTORS_SOCKET, _INGESTS_SOCKET = 1, 2
_STEP_NS = 5_000_000
#: What the executor may spend is other tests' business.
_NO_CAP = SpendingCaps(per_command=Amount(10**30), per_minute=Amount(10**30), open=Amount(10**30))


class PureDesk:
    """Two services, armed, and everything around them."""

    def __init__(self, *, instance_id: str | None = None, policy: Policy | None = None, **world_settings: Any) -> None:
        self.world = world(**world_settings)
        self._chain = WorldChain(self.world, clock=lambda: self.now)
        self.policy = policy or Policy()
        self._instance_id = instance_id
        self.now_ns = START_NS
        self.ledger = MemoryLedger(clock=lambda: self.now)
        self.signer = Signer(bytes(DESK.key), verifying_contract=CONTRACT)
        self.topics: dict[str, list[Envelope[Any]]] = defaultdict(list)
        #: Every effect of either service with the service's name, in order.
        self.log: list[tuple[str, Effect]] = []
        self._services: dict[str, Logic] = {}
        self._readers: dict[str, set[str]] = defaultdict(set)
        self._timers: dict[tuple[str, str], datetime] = {}
        self._queue: deque[tuple[str, Value]] = deque()
        self._ingest = RelaySession((Stream(name=QUOTE, tokens=(BTC, EURE)),))
        self._beats: dict[str, Beat] = {}
        self._beat_due_ns = 0
        self._busy = False
        self._handlers = self._table()
        self._start()

    @property
    def now(self) -> datetime:
        return at(self.now_ns)

    # --- life ------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._services["strategy-engine"] = StrategyEngine(
            pair=PAIR,
            account=ACCOUNT,
            policy=self.policy,
            encode_nonce=encode_nonce,
            switchboard=a_switchboard("strategy-engine"),
        )
        status = Stream(name=QUOTE_STATUS, guaranteed=self._instance_id is not None)
        self._services["trade-executor"] = TradeExecutor(
            inspector=Inspector(
                pair=PAIR,
                account=ACCOUNT,
                policy=self.policy,
                eur_per_quote=Decimal(1),
                encode_nonce=encode_nonce,
                caps=dict.fromkeys((BTC, EURE), _NO_CAP),
            ),
            relay=RelayClient(RelaySession((status,)), mute_after_ms=60_000, subscribe_again_ms=30_000),
            read_interval=timedelta(seconds=2),
            held_check_interval=timedelta(minutes=1),
            reply_bound=timedelta(seconds=5),
            switchboard=a_switchboard("trade-executor"),
        )
        self.world.relay.on_open(_EXECUTORS_SOCKET, solver="desk", instance_id=self._instance_id)
        self.world.relay.on_open(_INGESTS_SOCKET, solver="desk", instance_id=None)
        for frame in self._ingest.opened():
            self.from_world(self.world.relay.on_frame(_INGESTS_SOCKET, frame, self.now_ns))
        for name in ("history-writer", *self._services):
            self._beats[name] = Beat(
                service=name,
                start_id=f"{name}-1",
                started_at=self.now,
                account=ACCOUNT,
                details=SERVICES[name].vitals,
            )
        for name in self._services:
            self.tell(name, Started(active=True, generation=1, start_id=f"{name}-1"))
        self.tell("trade-executor", SocketOpened(connection=RELAY))
        self.run(5)
        for name, service in self._services.items():
            assert service.not_ready(self.now) == [], name
            self.tell(name, ARM)
        self.run(2)

    def run(self, seconds: float) -> None:
        """Let time pass, from one instant at which something is due to the next."""
        end_ns = self.now_ns + int(seconds * 1_000_000_000)
        while self.now_ns < end_ns:
            self.now_ns = max(self.now_ns + _STEP_NS, min(self._next_ns(), end_ns))
            self.from_world(self.world.advance(self.now_ns))
            if self.now_ns >= self._beat_due_ns:
                self._beat_due_ns = self.now_ns + 1_000_000_000
                self._observe()
            for (name, timer), due in sorted(self._timers.items(), key=lambda item: item[1]):
                if due <= self.now and self._timers.get((name, timer)) == due:
                    del self._timers[name, timer]
                    self.tell(name, TimerFired(name=timer))

    def _next_ns(self) -> int:
        timers = (nanoseconds(due) for due in self._timers.values())
        return min(self.world.next_at_ns(), self._beat_due_ns, *timers)

    def tell(self, name: str, event: Value) -> None:
        """Give an event to a service, and let everything that follows at once happen, in the order of a runner."""
        self._queue.append((name, event))
        if self._busy:
            return
        self._busy = True
        while self._queue:
            who, what = self._queue.popleft()
            for effect in self._services[who].on_event(what, self.now):
                self.log.append((who, effect))
                handler = self._handlers.get(type(effect))
                if handler is not None:
                    handler(who, effect)
        self._busy = False

    def demand(self, **fields: Any) -> str:
        """A taker asks; the quote's id."""
        quote_id, effects = self.world.demand(Demand(**fields), self.now_ns)
        self.from_world(effects)
        return quote_id

    # --- the world -------------------------------------------------------------------------------------------------

    def from_world(self, effects: Sequence[WorldEffect]) -> None:
        """What the world does reaches whom it concerns."""
        for effect in effects:
            if not isinstance(effect, Send) or effect.service != "relay":
                continue
            if effect.connection == _EXECUTORS_SOCKET:
                frame = FrameReceived(
                    connection=RELAY, text=effect.text, size_bytes=len(effect.text), received_at=self.now
                )
                self.tell("trade-executor", frame)
            else:
                self._ingested(effect.text)

    def _ingested(self, text: str) -> None:
        quote = self._ingest.receive(text)
        if not isinstance(quote, QuoteRequested):
            return
        direction = PAIR.direction_of(quote.asset_in, quote.asset_out)
        assert direction is not None
        frame = FrameReceived(connection=RELAY, text=text, size_bytes=len(text), received_at=self.now)
        record = demand_record(quote, PAIR, direction, frame, "demand")
        self._produce(SWAP_DEMAND, record.event_id, record.payload, correlation_id=quote.quote_id)

    def _observe(self) -> None:
        """What market-reference-ingest, inventory-sync and the beats say once a second."""
        tick = self.world.walk.tick
        kraken = a_kraken(bid=tick.bid, ask=tick.ask, observed_at=self.now, source_time=self.now)
        coingecko = a_coingecko(base_asset_eur=tick.mid, base_updated_at=self.now, quote_updated_at=self.now)
        stamps = {"updated_at": self.now, "observed_at": self.now}
        price = a_price(primary=kraken, second_opinion=coingecko, fair_rate=kraken.mid, peg=a_peg(**stamps))
        self._produce(MARKET_PRICE, f"price-{self.now_ns}", price)
        reading = self._chain.reading((), ())
        inventory = IntentInventory(
            account=ACCOUNT,
            height=reading.height,
            block_time=reading.block_time,
            credited=reading.credited,
            pending=None,
            reconciliation=dict.fromkeys(reading.credited, Reconciliation.UNCHANGED),
            salt=reading.salt,
            fee_pips=reading.fee_pips,
            key_registered=reading.key_registered,
            account_locked=reading.account_locked,
            contract_paused=reading.contract_paused,
            books=a_books({asset: Delta(amount) for asset, amount in reading.credited.items()}),
        )
        self._produce(INTENT_INVENTORY, f"inventory-{self.now_ns}", inventory)
        for name, beat in self._beats.items():
            service = self._services.get(name)
            vitals = service.vitals(self.now) if service is not None else Vitals(details=HistoryVitals(lag=0))
            reasons = service.not_ready(self.now) if service is not None else []
            record = beat.next(
                self.now,
                vitals,
                active=True,
                generation=1,
                health_failures=[],
                not_ready=reasons,
                database_up=True,
            )
            self._produce(SERVICE_STATUS, record.event_id, record.payload)

    # --- the broker ------------------------------------------------------------------------------------------------

    def _produce(self, topic: Topic, event_id: str, payload: Any, **fields: Any) -> int:
        defaults: dict[str, Any] = {"observed_at": self.now, "correlation_id": event_id, "pair": PAIR.name}
        event = a_record(topic, payload, event_id=event_id, published_at=self.now, **(defaults | fields)).message
        read = decode_event(topic.name, encode_event(event))
        self.topics[topic.name].append(read)
        offset = len(self.topics[topic.name]) - 1
        for name in sorted(self._readers[topic.name]):
            self.tell(name, self._record(topic.name, offset))
        return offset

    def _record(self, topic: str, offset: int) -> RecordReceived:
        return RecordReceived(topic=topic, topic_id=f"{topic}-1", offset=offset, message=self.topics[topic][offset])

    def _publish(self, who: str, effect: Publish) -> None:
        names = ("observed_at", "correlation_id", "causation_id", "occurred_at", "venue", "pair", "stages")
        fields = {name: getattr(effect, name) for name in names}
        offset = self._produce(effect.topic, effect.event_id, effect.payload, **fields)
        if effect.token is not None:
            self.tell(who, Published(token=effect.token, offset=offset))

    def _subscribe(self, who: str, effect: Subscribe) -> None:
        topic = effect.topic.name
        end = len(self.topics[topic])
        begin = effect.offset or 0 if effect.tail is None else max(0, end - effect.tail)
        for offset in range(begin, end):
            self._queue.append((who, self._record(topic, offset)))
        self._queue.append((who, CaughtUp(topic=topic, topic_id=f"{topic}-1")))
        if not effect.until_end:
            self._readers[topic].add(who)

    # --- the executor's surroundings -------------------------------------------------------------------------------

    def _table(self) -> dict[type[Effect], Callable[[str, Any], None]]:
        return {
            Publish: self._publish,
            Subscribe: self._subscribe,
            SetTimer: self._set_timer,
            SendFrame: self._send,
            SignOffer: self._sign,
            ProveAuthority: lambda who, _effect: self.tell(who, AuthorityJudged(proven=True, reason="trusted here")),
            ReadVerifier: lambda who, effect: self.tell(who, self._chain.verifier(effect)),
            ReadFills: lambda who, effect: self.tell(who, self._chain.fills(effect)),
            FindFill: lambda who, effect: self.tell(who, FillsRead(tx_hash="", fills=(), nonce=effect.nonce)),
            ReadPast: lambda who, effect: self.tell(who, self._chain.past(effect)),
            ReadUse: lambda who, effect: self.tell(who, self._chain.use(effect)),
            LoadLedger: self._load,
            Restore: lambda who, _effect: self.tell(who, Restored(policy=None, fills=())),
            RememberPolicy: lambda who, effect: self.tell(who, PolicyPersisted(change=effect.change)),
            OpenRelay: lambda _who, _effect: None,
            FindOffer: self._find,
            ClaimOffer: self._claim,
            RejectCommand: self._reject,
            NoteAttempt: self._note,
            DropAttempt: self._drop,
            ApplyReading: self._apply,
        }

    def _set_timer(self, who: str, effect: SetTimer) -> None:
        self._timers[who, effect.name] = effect.at

    def _send(self, who: str, effect: SendFrame) -> None:
        effects = self.world.relay.on_frame(_EXECUTORS_SOCKET, effect.text, self.now_ns)
        if effect.token is not None:
            self.tell(who, FrameSent(connection=RELAY, token=effect.token, sent_at=self.now))
        self.from_world(effects)

    def _sign(self, who: str, effect: SignOffer) -> None:
        signed = self.signer.sign_offer(effect.command)
        self.tell(
            who,
            OfferSigned(
                command_id=effect.command.command_id, quote_hash=signed.quote_hash, signed_payload=signed.params
            ),
        )

    def _load(self, who: str, _effect: LoadLedger) -> None:
        state = done(self.ledger.load(ACCOUNT))
        self.tell(who, LedgerLoaded(position=state.position, open_offers=state.open_offers, view=state.view))

    def _find(self, who: str, effect: FindOffer) -> None:
        offer = done(self.ledger.find(ACCOUNT, effect.quote_hash))
        self.tell(who, OfferFound(quote_hash=effect.quote_hash, offer=offer))

    def _claim(self, who: str, effect: ClaimOffer) -> None:
        event = self._outbox_event(effect.result, effect.lineage)
        outcome = done(
            self.ledger.claim(effect.offer, position=effect.position, generation=effect.generation, event=event)
        )
        self._empty_outbox()
        self.tell(who, ClaimDecided(command_id=effect.offer.command_id, kind=outcome.kind, view=outcome.view))

    def _reject(self, who: str, effect: RejectCommand) -> None:
        event = self._outbox_event(effect.result, effect.lineage)
        outcome = done(self.ledger.reject(effect.command, position=effect.position, event=event))
        self._empty_outbox()
        self.tell(who, ClaimDecided(command_id=effect.command.command_id, kind=outcome.kind, view=outcome.view))

    def _note(self, who: str, effect: NoteAttempt) -> None:
        view = done(self.ledger.note(self._outbox_event(effect.result, effect.lineage)))
        self._empty_outbox()
        self.tell(who, LedgerNoted(view=view))

    def _drop(self, who: str, effect: DropAttempt) -> None:
        view = done(self.ledger.drop(self._outbox_event(effect.result, effect.lineage)))
        self._empty_outbox()
        self.tell(who, LedgerNoted(view=view))

    def _apply(self, who: str, effect: ApplyReading) -> None:
        endings = [
            NonceEnding(
                nonce=ending.nonce,
                state=ending.state,
                events=tuple(self._outbox_event(result, lineage) for result, lineage in ending.results),
            )
            for ending in effect.endings
        ]
        view = done(self.ledger.apply_reading(ACCOUNT, height=effect.height, credited=effect.credited, endings=endings))
        self._empty_outbox()
        self.tell(who, LedgerNoted(view=view))

    def _outbox_event(self, result: TradeResult, lineage: Lineage) -> OutboxEvent:
        return OutboxEvent(
            event_id=result_id(result.command_id, result.state),
            correlation_id=lineage.correlation_id,
            causation_id=lineage.causation_id,
            observed_at=self.now,
            stages=lineage.stages,
            result=result,
        )

    def _empty_outbox(self) -> None:
        rows = done(self.ledger.unpublished(100))
        done(self.ledger.mark_published([row.seq for row in rows]))
        for row in rows:
            event = row.event
            self._produce(
                TRADE_RESULT,
                event.event_id,
                event.payload,
                observed_at=event.observed_at,
                correlation_id=event.correlation_id,
                causation_id=event.causation_id,
                stages=event.stages,
            )

    # --- what came of it -------------------------------------------------------------------------------------------

    def chain(self, topic: Topic, quote_id: str) -> list[Envelope[Any]]:
        """The records of a quote's chain on a topic."""
        return [event for event in self.topics[topic.name] if event.correlation_id == quote_id]

    def state(self, name: str) -> dict[str, Any]:
        """What a service shows of itself."""
        shown: dict[str, Any] = jsonable(self._services[name].state(self.now))
        return shown

    def balances(self) -> dict[str, int]:
        """Ours, by the world's own ledger."""
        held = self.world.balances(ACCOUNT, height=self.world.chain.head.height)
        return {token: int(held.get(token, "0")) for token in (BTC, EURE)}
