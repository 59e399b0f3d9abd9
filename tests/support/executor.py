"""A trade-executor fed with events by hand: ledger, signer, socket and chain are the test's to play."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from support.cases import ACCOUNT, BTC, EURE, NOW, PAIR, a_case, a_decision, a_demand, a_kraken, a_price, ago
from support.engine import ARM, a_control, a_record
from support.switches import a_switchboard
from unrip.domain.attempt import Offer, TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import CommandPosition, LedgerView
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.spending import SpendingCaps
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import CaughtUp, Effect, Event, Log, Started
from unrip.messages.topics import EXECUTE_TRADE, MARKET_PRICE, TRADE_RESULT
from unrip.net.events import FrameReceived, FrameSent, SendFrame, SocketClosed, SocketOpened
from unrip.net.reconnect import Cause
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import (
    ApplyReading,
    AuthorityJudged,
    ClaimDecided,
    ClaimOffer,
    DropAttempt,
    LedgerLoaded,
    LedgerNoted,
    NoteAttempt,
    OfferSigned,
    ReadVerifier,
    RejectCommand,
    SignOffer,
    VerifierRead,
)
from unrip.services.trade_executor.intake.inspection import Inspector
from unrip.services.trade_executor.logic import TradeExecutor
from unrip.services.trade_executor.relay.client import RelayClient
from unrip.services.trade_executor.settings import SpendingSettings
from unrip.services.trade_executor.wiring import caps_of
from unrip.venues.near_intents.nonces import encode_nonce
from unrip.venues.near_intents.relay import QUOTE_STATUS, RelaySession, Stream

VIEW = LedgerView(height=1_000, credited={}, held={}, position=None)
LedgerWrite = NoteAttempt | DropAttempt | ApplyReading


def the_caps(**changes: str) -> dict[str, SpendingCaps]:
    """Those of the default settings, but for what the test changes; in whole tokens."""
    return caps_of(SpendingSettings(**{name: Decimal(cap) for name, cap in changes.items()}), PAIR)


def a_command(quote_id: str = "quote-1", direction: Direction = Direction.BASE_IN, **changes: Any) -> TradeCommand:
    """The command that the strategy would give, spoilt where the test wants it."""
    command = a_decision(a_case(demand=a_demand(direction, quote_id=quote_id))).command
    assert command is not None
    return msgspec.structs.replace(command, **changes)


def a_reading(
    height: int = 1_001, *, now: datetime = NOW, used: Sequence[str] = (), asked: Sequence[str] = (), **changes: Any
) -> VerifierReading:
    fields: dict[str, Any] = {
        "height": height,
        "block_time": now - timedelta(milliseconds=1_500),
        "observed_at": now - timedelta(milliseconds=200),
        "credited": {BTC.asset_id: Amount(10**7), EURE.asset_id: Amount(5_000 * 10**18)},
        "salt": "252812b3",
        "fee_pips": 1,
        "key_registered": True,
        "account_locked": False,
        "contract_paused": False,
        "nonces": {nonce: nonce in used for nonce in (*asked, *used)},
        "salts": {"252812b3": True},
    }
    return VerifierReading(**(fields | changes))


class Executor:
    """The logic with what it asked for."""

    def __init__(
        self, *, guaranteed: bool = False, eur_per_quote: str = "1", caps: dict[str, SpendingCaps] | None = None
    ) -> None:
        self.logic = TradeExecutor(
            inspector=Inspector(
                pair=PAIR,
                account=ACCOUNT,
                policy=Policy(),
                eur_per_quote=Decimal(eur_per_quote),
                encode_nonce=encode_nonce,
                caps=caps or the_caps(),
                verifying_contract="intents.near",
            ),
            relay=RelayClient(
                RelaySession((Stream(name=QUOTE_STATUS, guaranteed=guaranteed),)),
                mute_after_ms=60_000,
                subscribe_again_ms=30_000,
            ),
            read_interval=timedelta(seconds=2),
            held_check_interval=timedelta(minutes=1),
            reply_bound=timedelta(seconds=5),
            switchboard=a_switchboard("trade-executor"),
        )
        self.now = NOW
        self.effects: list[Effect] = []
        self._offset = 0
        self._height = 1_001

    def state(self, now: datetime | None = None) -> Any:
        return self.logic.state(now or self.now)

    def feed(self, event: Event) -> list[Effect]:
        effects = list(self.logic.on_event(event, self.now))
        self.effects += effects
        return effects

    def of(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def last(self, kind: type[Any]) -> Any:
        return self.of(kind)[-1]

    # --- a life ----------------------------------------------------------------------------------------------------

    def start(self, *open_offers: Offer, position: CommandPosition | None = None) -> list[Effect]:
        self.feed(Started(active=True, generation=1, start_id="trade-executor-1"))
        loaded = self.feed(LedgerLoaded(position=position, open_offers=open_offers, view=VIEW))
        return [*loaded, *self.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id="results-1"))]

    def ready(self) -> Executor:
        """Started without open offers, connected, proven, chain and price read, and armed."""
        self.start()
        self.connect()
        self.feed(AuthorityJudged(proven=True, reason="proven"))
        self.read()
        self.feed(ARM)
        assert self.logic.not_ready(self.now) == []
        self.effects.clear()
        return self

    def connect(self) -> list[Effect]:
        """A new connection, on which the relay confirms every subscription."""
        opened = self.feed(SocketOpened(connection=RELAY))
        for frame in (json.loads(effect.text) for effect in opened if isinstance(effect, SendFrame)):
            self.hear({"jsonrpc": "2.0", "id": frame["id"], "result": f"{frame['params'][0]}-1"})
        return opened

    def read(self, *, used: Sequence[str] = (), asked: Sequence[str] = (), **changes: Any) -> list[Effect]:
        """One final block, each higher than the one before, and the ledger takes it over."""
        self.price()
        self._height += 1
        fields: dict[str, Any] = {"height": self._height, "now": self.now} | changes
        effects = self.feed(VerifierRead(reading=a_reading(used=used, asked=asked, **fields)))
        if any(isinstance(effect, ApplyReading) for effect in effects):
            self.noted()
        return effects

    def price(self, **changes: Any) -> None:
        """A price that the executor reads by itself, as of now."""
        late = self.now - NOW
        kraken = msgspec.structs.replace(a_kraken(), observed_at=ago(400) + late, source_time=ago(450) + late)
        price = a_price(**({"primary": kraken} | changes))
        record = a_record(MARKET_PRICE, price, observed_at=self.now - timedelta(milliseconds=400))
        self.feed(record)

    def noted(self) -> list[Effect]:
        """The ledger write in flight is committed."""
        return self.feed(LedgerNoted(view=VIEW))

    # --- a command -------------------------------------------------------------------------------------------------

    def command(self, command: TradeCommand | None = None) -> list[Effect]:
        command = command or a_command()
        record = a_record(EXECUTE_TRADE, command, offset=self._offset, event_id=command.command_id)
        self._offset += 1
        return self.feed(record)

    def sign(self) -> ClaimOffer:
        command = self.last(SignOffer).command
        self.feed(
            OfferSigned(
                command_id=command.command_id,
                quote_hash=f"hash of {command.quote_id}",
                signed_payload=json.dumps([{"quote_id": command.quote_id}]),
            )
        )
        claim: ClaimOffer = self.last(ClaimOffer)
        return claim

    def decide(self, kind: str = "claimed") -> list[Effect]:
        return self.feed(ClaimDecided(command_id="", kind=kind, view=VIEW))

    def send(self, command: TradeCommand | None = None) -> ClaimOffer:
        """Up to the bytes on the wire, and the note of it committed."""
        self.command(command)
        claim = self.sign()
        self.decide()
        self.feed(FrameSent(connection=RELAY, token=claim.offer.command_id, sent_at=self.now))
        self.noted()
        return claim

    def reply(self, result: Any = "OK", *, error: Any = None) -> list[Effect]:
        """The relay's reply to the last answer."""
        request_id = json.loads(self.last(SendFrame).text)["id"]
        body = {"result": result} if error is None else {"error": error}
        return self.hear({"jsonrpc": "2.0", "id": request_id, **body})

    def notice(self, quote_hash: str, tx_hash: str = "tx-1", *, seq: int | None = None) -> list[Effect]:
        data = {"quote_hash": quote_hash, "intent_hash": "intent-1", "tx_hash": tx_hash}
        numbered = {} if seq is None else {"seq": seq}
        params = {"subscription": "s", "data": data, **numbered}
        return self.hear({"jsonrpc": "2.0", "method": "event", "params": params})

    def hear(self, frame: dict[str, Any] | str) -> list[Effect]:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        return self.feed(FrameReceived(connection=RELAY, text=text, size_bytes=len(text), received_at=self.now))

    # --- what came of it -------------------------------------------------------------------------------------------

    @property
    def rejection(self) -> TradeResult:
        result: TradeResult = self.last(RejectCommand).result
        return result

    @property
    def states(self) -> list[str]:
        """Every state that was written, in order."""
        found: list[str] = []
        for effect in self.effects:
            if isinstance(effect, ClaimOffer | RejectCommand | NoteAttempt | DropAttempt):
                found.append(effect.result.state.value)
            elif isinstance(effect, ApplyReading):
                found += [result.state.value for ending in effect.endings for result, _chain in ending.results]
        return found

    @property
    def asked(self) -> tuple[str, ...]:
        """The nonces of the last question to the chain."""
        found: tuple[str, ...] = self.last(ReadVerifier).nonces
        return found

    @property
    def open_offers(self) -> list[Offer]:
        return list(self.state().open_offers)


def after(*claims: ClaimOffer, gift: int = 0) -> dict[str, Amount]:
    """Our balances after these offers were taken, perhaps with a gift of what they spend."""
    balances = {BTC.asset_id: 10**7, EURE.asset_id: 5_000 * 10**18 + gift}
    for claim in claims:
        balances[claim.offer.asset_in] += claim.offer.amount_in
        balances[claim.offer.asset_out] -= claim.offer.amount_out
    return {asset: Amount(amount) for asset, amount in balances.items()}


def executor() -> Executor:
    return Executor().ready()


def events_of(executor: Executor) -> list[str]:
    return [line.event for line in executor.of(Log)]


def a_halted(desk: Executor) -> None:
    desk.feed(a_control("halt"))


def disconnected(desk: Executor) -> None:
    desk.feed(SocketClosed(connection=RELAY, cause=Cause.CLOSED, reason="gone"))
