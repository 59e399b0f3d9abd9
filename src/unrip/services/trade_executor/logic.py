"""The executor: each command is inspected, signed, claimed, sent once and followed until the chain says how it ended.

Commands are handled strictly in order, one at a time up to their claim, so that the ledger's position is contiguous.
Once a byte may have left, only `following.py` ends an offer, from a final block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from unrip.domain.arming import Switches
from unrip.domain.attempt import AttemptState, Drop, Offer, Rejection, VenueReply
from unrip.domain.command import TradeCommand
from unrip.domain.desk import CommandPosition, LedgerView
from unrip.domain.verifier import VerifierReading
from unrip.messages.topics import EXECUTE_TRADE
from unrip.net.events import FrameNotSent, FrameReceived, FrameSent, SendFrame, SocketClosed, SocketOpened
from unrip.service import switching
from unrip.service.contract import (
    Control,
    ControlRefused,
    Count,
    CrashPoint,
    DatabaseChanged,
    Draining,
    Effect,
    Event,
    Logic,
    Observe,
    RecordReceived,
    RoleChanged,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
    Vitals,
)
from unrip.services.trade_executor import lane
from unrip.services.trade_executor.conversation import RELAY, Conversation
from unrip.services.trade_executor.effects import (
    ApplyReading,
    AuthorityJudged,
    Chain,
    ClaimDecided,
    ClaimOffer,
    DropAttempt,
    Ending,
    FillsRead,
    LedgerLoaded,
    LedgerNoted,
    LedgerUnknown,
    LoadLedger,
    NoteAttempt,
    OfferSigned,
    ProveAuthority,
    ReadFills,
    ReadVerifier,
    RejectCommand,
    SignOffer,
    VerifierRead,
    VerifierUnread,
)
from unrip.services.trade_executor.following import Followed, OpenOffers
from unrip.services.trade_executor.inspection import Inspector
from unrip.services.trade_executor.lane import NoteLane
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import rejected, result_of_offer
from unrip.venues.near_intents.relay import Reply, StatusNotice

_PROVE_AGAIN = timedelta(seconds=5)


class TradeExecutor(Logic):
    """Pure logic of trade-executor."""

    def __init__(
        self,
        *,
        inspector: Inspector,
        conversation: Conversation,
        read_interval: timedelta,
        reply_bound: timedelta,
        configuration_hash: str,
    ) -> None:
        self._inspector = inspector
        self._conversation = conversation
        self._read_interval = read_interval
        self._reply_bound = reply_bound
        self._configuration_hash = configuration_hash
        self._switches = Switches()
        self._active = False
        self._draining = False
        self._connected = False
        self._database_up = True
        self._loaded = False
        self._proof = AuthorityJudged(proven=False, reason="not tried yet")
        self._reading: VerifierReading | None = None
        self._reading_in_flight = False
        self._recovering = True
        self._view: LedgerView | None = None
        self._offers = OpenOffers()
        self._notes = NoteLane()
        self._report = ExecutionReport()
        self._commands: deque[RecordReceived] = deque()
        #: The command being handled, and the ledger write that decides it once it is known.
        self._current: RecordReceived | None = None
        self._claim: ClaimOffer | RejectCommand | None = None

    # --- events ----------------------------------------------------------------------------------------------------

    def on_event(self, event: Event, now: datetime) -> Sequence[Effect]:  # noqa: C901 - a dispatch table
        """Take one event in; see `service/contract.py`."""
        match event:
            case RecordReceived():
                self._commands.append(event)
                return self._handle_next(now)
            case OfferSigned():
                return self._on_signed(event, now)
            case ClaimDecided():
                return self._on_claim_decided(event, now)
            case FrameSent() | FrameNotSent():
                return self._on_frame_fate(event, now)
            case FrameReceived() | SocketOpened() | SocketClosed():
                return self._on_relay(event, now)
            case VerifierRead() | VerifierUnread() | FillsRead() | AuthorityJudged():
                return self._on_chain(event, now)
            case LedgerLoaded() | LedgerNoted() | LedgerUnknown():
                return self._on_ledger(event, now)
            case TimerFired():
                return self._on_timer(event, now)
            case Control():
                return self._on_control(event, now)
            case Started() | RoleChanged():
                return self._on_role(event, now)
            case DatabaseChanged():
                self._database_up = event.up
            case Draining():  # commands that wait are read again at the next start
                self._draining = True
        return []

    def _on_role(self, event: Started | RoleChanged, now: datetime) -> list[Effect]:
        if not event.active or self._active:
            return []
        self._active = True
        return [LoadLedger(), SetTimer(name="read", at=now)]

    # --- the ledger ------------------------------------------------------------------------------------------------

    def _on_ledger(self, event: LedgerLoaded | LedgerNoted | LedgerUnknown, now: datetime) -> list[Effect]:
        if isinstance(event, LedgerLoaded):
            return self._on_loaded(event)
        if isinstance(event, LedgerNoted):
            self._view = event.view
            write, effects = self._notes.committed()
            return [*self._on_written(write, now), *effects]
        match event.lane:
            case "note":
                return self._notes.unknown(now)
            case "claim":
                return [SetTimer(name="claim_again", at=now + lane.RETRY)]
            case _:
                return [SetTimer(name="load_again", at=now + lane.RETRY)]

    def _on_loaded(self, event: LedgerLoaded) -> list[Effect]:
        """Follow what is open. At start the commands are then read from right after the ledger's position."""
        self._view = event.view
        for offer in event.open_offers:
            chain = Chain(correlation_id=offer.correlation_id, causation_id=offer.command_id, stages={})
            self._offers.add(Followed(offer=offer, chain=chain, ask_now=True, unrecovered=not self._loaded))
        if self._loaded:
            return []
        self._loaded = True
        position = event.position
        return [
            Subscribe(
                topic=EXECUTE_TRADE,
                topic_id=position.topic_id if position else None,
                offset=position.next_offset if position else None,
            ),
            ProveAuthority(),
        ]

    def _on_written(self, write: NoteAttempt | DropAttempt | ApplyReading, now: datetime) -> list[Effect]:
        if isinstance(write, NoteAttempt):
            return []
        if isinstance(write, DropAttempt):
            self._offers.by_command.pop(write.result.command_id, None)
            return self._report.ended(write.result, now)
        effects: list[Effect] = []
        for ending in write.endings:
            self._offers.ended(ending, write.height)
            for result, _chain in ending.results:
                effects += self._report.ended(result, now)
        return [*effects, *self._recovered_if_all_are_asked()]

    # --- a command up to its claim ---------------------------------------------------------------------------------

    def _handle_next(self, now: datetime) -> list[Effect]:
        """Take the next command, unless one is being handled or the executor is paused: then commands wait."""
        if self._current or not self._commands or self._switches.paused or self._draining or not self._active:
            return []
        record = self._current = self._commands.popleft()
        command: TradeCommand = record.message.payload
        self._report.commanded(command)
        found = self._inspector.rejection(
            command,
            switches=self._switches,
            connected=self._connected and self._ready_to_send(),
            reading=self._reading,
            explained_fall=self._offers.explained_fall(command.asset_out, command.inventory_height),
            now=now,
        )
        if found is None:
            return [SignOffer(command=command)]
        reason, numbers = found
        self._claim = RejectCommand(
            command=command,
            position=_after(record),
            result=rejected(command, reason, numbers),
            chain=_chain_of(record, {"command_received": now, "rejected": now}),
        )
        return [self._claim]

    def _ready_to_send(self) -> bool:
        return self._proof.proven and not self._recovering

    def _on_signed(self, event: OfferSigned, now: datetime) -> list[Effect]:
        record = self._current
        if record is None or record.message.payload.command_id != event.command_id:
            raise AssertionError("an offer was signed for a command that is not being handled")
        command: TradeCommand = record.message.payload
        offer = Offer(
            command_id=command.command_id,
            quote_id=command.quote_id,
            account=command.account,
            pair=command.pair,
            direction=command.direction,
            asset_out=command.asset_out,
            amount_out=command.amount_out,
            quote_hash=event.quote_hash,
            nonce=command.nonce,
            salt=command.salt,
            answer_by=command.answer_by,
            offer_deadline=command.offer_deadline,
            nonce_deadline=command.nonce_deadline,
            signed_payload=event.signed_payload,
            correlation_id=record.message.correlation_id,
            state=AttemptState.CLAIMED,
        )
        self._claim = ClaimOffer(
            offer=offer,
            position=_after(record),
            generation=command.generation,
            result=result_of_offer(offer, AttemptState.CLAIMED, next_check_at=offer.offer_deadline),
            chain=_chain_of(record, {"signed": now}),
        )
        return [CrashPoint(name="executor.signed"), self._claim]

    def _on_claim_decided(self, event: ClaimDecided, now: datetime) -> list[Effect]:
        claim, record = self._claim, self._current
        if claim is None or record is None:
            raise AssertionError("the ledger decided a claim that nobody made")
        self._claim = self._current = None
        self._view = event.view
        effects: list[Effect] = [Count(name="commands", labels={"outcome": event.kind})]
        match event.kind:
            case "claimed" if isinstance(claim, ClaimOffer):
                effects += self._send(claim, now)
            case "duplicate":  # perhaps our own claim whose commit was not heard of: follow what the ledger has
                effects.append(LoadLedger())
            case "insufficient_inventory" | "superseded" if isinstance(claim, ClaimOffer):
                effects += self._report.ended(
                    rejected(
                        record.message.payload, Rejection(event.kind), {"amount_out": str(int(claim.offer.amount_out))}
                    ),
                    now,
                )
            case _:
                effects += self._report.ended(claim.result, now)
        return [*effects, *self._handle_next(now)]

    # --- sending and the relay's answer ----------------------------------------------------------------------------

    def _send(self, claim: ClaimOffer, now: datetime) -> list[Effect]:
        """The claim is committed: the bytes may go, if there is still time and a socket."""
        followed = Followed(
            offer=claim.offer,
            chain=msgspec.structs.replace(claim.chain, stages={**claim.chain.stages, "claimed": now}),
        )
        self._offers.add(followed)
        effects: list[Effect] = [CrashPoint(name="executor.claimed")]
        if now >= claim.offer.answer_by:
            return [*effects, *self._drop(followed, Drop.WINDOW_CLOSED, now)]
        if not self._connected:
            return [*effects, *self._drop(followed, Drop.SOCKET_GONE, now)]
        followed.awaits_reply, followed.frame = True, self._conversation.answer(claim.offer)
        followed.offer = msgspec.structs.replace(claim.offer, state=AttemptState.SENT)
        return [
            *effects,
            SendFrame(
                connection=RELAY, text=followed.frame, token=claim.offer.command_id, not_after=claim.offer.answer_by
            ),
            SetTimer(name=f"reply:{claim.offer.command_id}", at=now + self._reply_bound),
        ]

    def _drop(self, followed: Followed, reason: Drop, now: datetime) -> list[Effect]:
        """No byte has left, and this process knows it."""
        followed.ending = True
        followed.awaits_reply = False
        result = result_of_offer(followed.offer, AttemptState.DROPPED, reason=reason)
        return self._notes.push(DropAttempt(result=result, chain=_stamped(followed.chain, "dropped", now)))

    def _on_frame_fate(self, event: FrameSent | FrameNotSent, now: datetime) -> list[Effect]:
        followed = self._offers.by_command.get(event.token)
        if followed is None:
            return []
        if isinstance(event, FrameNotSent):
            return self._on_not_sent(followed, event, now)
        left_ms = (followed.offer.answer_by - event.sent_at) / timedelta(milliseconds=1)
        return [
            CrashPoint(name="executor.sent"),
            *self._note(followed, AttemptState.SENT, event.sent_at, request=followed.frame),
            *self._report.submitted(followed.offer),
            Observe(name="window_left_when_sent", milliseconds=left_ms),
        ]

    def _on_not_sent(self, followed: Followed, event: FrameNotSent, now: datetime) -> list[Effect]:
        """Once another outcome is noted, only the chain ends the offer, whatever the socket says later."""
        if not followed.awaits_reply:
            return []
        if event.nothing_left:
            return self._drop(followed, Drop.WINDOW_CLOSED if event.reason == "too_late" else Drop.SOCKET_GONE, now)
        return self._unanswered(followed, "socket_gone", now)

    def _on_relay(self, event: FrameReceived | SocketOpened | SocketClosed, now: datetime) -> list[Effect]:
        if isinstance(event, SocketOpened):
            self._connected = True
            self._offers.ask_about_all()
            return [*self._report.connected(), *self._conversation.opened()]
        if isinstance(event, SocketClosed):
            return self._on_closed(event, now)
        heard, effects = self._conversation.heard(event)
        match heard:
            case Reply():
                return [*effects, *self._on_reply(heard, now)]
            case StatusNotice():
                return [*effects, *self._on_notice(heard, event, now)]
        return effects

    def _on_closed(self, event: SocketClosed, now: datetime) -> list[Effect]:
        self._connected = False
        effects = self._report.disconnected(event)
        for followed in list(self._offers.by_command.values()):
            if followed.awaits_reply and not followed.ending:
                effects += self._unanswered(followed, "socket_gone", now)
        return effects

    def _on_reply(self, reply: Reply, now: datetime) -> list[Effect]:
        followed = self._offers.by_command.get(reply.request or "")
        if followed is None or not followed.awaits_reply:
            return [Count(name="relay_replies", labels={"outcome": "late"})]
        followed.awaits_reply = False
        response = VenueReply(accepted=reply.ok, code=reply.code, text=reply.text, received_at=now)
        state = AttemptState.ACCEPTED if reply.ok else AttemptState.REFUSED
        self._report.answered(response)
        effects = self._note(followed, state, now, response=response, reason=None if reply.ok else reply.text)
        if not reply.ok:
            effects += self._report.failed(followed.offer, state, reply.text)
        return [Count(name="relay_replies", labels={"outcome": state}), *effects]

    def _unanswered(self, followed: Followed, reason: str, now: datetime) -> list[Effect]:
        """The reply never came: unknown, which is not no. The offer is followed like any other."""
        followed.awaits_reply = False
        return [
            *self._note(followed, AttemptState.UNANSWERED, now, reason=reason),
            *self._report.failed(followed.offer, AttemptState.UNANSWERED, reason),
        ]

    def _on_notice(self, notice: StatusNotice, frame: FrameReceived, now: datetime) -> list[Effect]:
        """A settlement notice: a reason to ask the chain at once, never an end by itself."""
        followed = self._offers.by_quote_hash(notice.quote_hash)
        if followed is None:
            return [Count(name="status_notices", labels={"whose": "others_or_ended"})]
        followed.noticed = True
        effects: list[Effect] = [Count(name="status_notices", labels={"whose": "ours"})]
        effects.append(self._conversation.record(notice, frame, followed.offer))
        if notice.tx_hash is not None and followed.tx_hash is None:
            followed.tx_hash = notice.tx_hash
            effects.append(ReadFills(tx_hash=notice.tx_hash))
        return [*effects, *self._read(now)]

    def _note(
        self,
        followed: Followed,
        state: AttemptState,
        at: datetime,
        *,
        reason: str | None = None,
        request: str | None = None,
        response: VenueReply | None = None,
    ) -> list[Effect]:
        followed.chain = _stamped(followed.chain, state, at)
        result = result_of_offer(
            followed.offer,
            state,
            reason=reason,
            request=request,
            response=response,
            next_check_at=followed.offer.offer_deadline,
        )
        return self._notes.push(NoteAttempt(result=result, chain=followed.chain))

    # --- the chain -------------------------------------------------------------------------------------------------

    def _read(self, now: datetime) -> list[Effect]:
        """One read of the verifier at a time, about the offers that are due."""
        if self._reading_in_flight or not self._active:
            return []
        self._reading_in_flight = True
        due = self._offers.due(now)
        nonces = tuple(dict.fromkeys(followed.offer.nonce for followed in due))
        salts = tuple(dict.fromkeys(followed.offer.salt for followed in due))
        return [ReadVerifier(nonces=nonces, salts=salts)]

    def _on_chain(
        self, event: VerifierRead | VerifierUnread | FillsRead | AuthorityJudged, now: datetime
    ) -> list[Effect]:
        match event:
            case VerifierUnread():
                self._reading_in_flight = False
                return [Count(name="verifier_reads", labels={"outcome": "unread"}), *self._report.unread(event.reason)]
            case FillsRead():
                self._offers.note_fills(event.tx_hash, event.fills)
                return []
            case AuthorityJudged():
                self._proof = event
                return [] if event.proven else [SetTimer(name="prove_again", at=now + _PROVE_AGAIN)]
        return self._on_reading(event.reading, now)

    def _on_reading(self, reading: VerifierReading, now: datetime) -> list[Effect]:
        self._reading_in_flight = False
        effects = [Count(name="verifier_reads", labels={"outcome": "read"}), *self._report.read_again()]
        if self._reading is not None and reading.height < self._reading.height:
            return [*effects, Count(name="verifier_reads", labels={"outcome": "older_block"})]
        self._reading = reading
        if not self._loaded:
            return effects
        endings: tuple[Ending, ...] = self._offers.endings(reading, now)
        write = ApplyReading(
            account=self._inspector.account, height=reading.height, credited=reading.credited, endings=endings
        )
        return [*effects, *self._notes.push(write), *self._recovered_if_all_are_asked()]

    def _recovered_if_all_are_asked(self) -> list[Effect]:
        if not self._recovering or not self._loaded or self._reading is None or self._offers.unrecovered():
            return []
        self._recovering = False
        return self._report.recovered(len(self._offers.by_command))

    # --- timers and controls ---------------------------------------------------------------------------------------

    def _on_timer(self, timer: TimerFired, now: datetime) -> list[Effect]:
        name, _, command_id = timer.name.partition(":")
        match name:
            case "read":
                return [*self._read(now), SetTimer(name="read", at=now + self._read_interval)]
            case "reply":
                followed = self._offers.by_command.get(command_id)
                waiting = followed is not None and followed.awaits_reply
                return self._unanswered(followed, "no_reply", now) if followed is not None and waiting else []
            case lane.TIMER:
                return self._notes.again()
            case "claim_again":
                return [self._claim] if self._claim is not None else []
            case "load_again":
                return [LoadLedger()]
            case "prove_again":
                return [ProveAuthority()]
            case switching.LEASE_TIMER:
                self._switches, effects = switching.end_of_lease(self._switches, now)
                return effects
        return []

    def _on_control(self, control: Control, now: datetime) -> list[Effect]:
        if control.action == "arm" and (reasons := self.not_ready(now)):
            raise ControlRefused(f"not ready: {', '.join(reasons)}")
        switches = switching.switch(self._switches, control, now, configuration_hash=self._configuration_hash)
        if switches is None:
            return []
        self._switches = switches
        return [*switching.lease_timer(switches), *self._handle_next(now)]

    # --- what the frame asks ---------------------------------------------------------------------------------------

    def not_ready(self, now: datetime) -> list[str]:
        """Everything that stands between a command and its answer, arming apart."""
        reading = self._reading
        limit = timedelta(milliseconds=self._inspector.policy.inventory_age_max_ms)
        stands_in_the_way = {
            "standby": not self._active,
            "draining": self._draining,
            "database_away": not self._database_up,
            "ledger_not_loaded": not self._loaded,
            "recovering": self._recovering,
            "relay_disconnected": not self._connected,
            f"authority_not_proven: {self._proof.reason}": not self._proof.proven,
            "verifier_not_read": reading is None or now - reading.observed_at > limit,
        }
        return [reason for reason, holds in stands_in_the_way.items() if holds]

    def vitals(self, now: datetime) -> Vitals:
        """Armed, paused, halted, recovering, and the ledger."""
        return Vitals(
            paused=self._switches.paused,
            halted=self._switches.halted,
            armed=self._switches.armed_directions(now),
            arm_expires_at=self._switches.lease.expires_at if self._switches.lease else None,
            recovering=self._recovering,
            lag=len(self._commands),
            ledger=self._view,
        )

    def control_state(self, now: datetime) -> dict[str, str]:
        """The switches."""
        return switching.switch_state(self._switches, now)

    def idle(self) -> bool:
        """No command is before its claim, no sent answer without its reply or its end, and every note is committed."""
        replies_due = any(followed.awaits_reply for followed in self._offers.by_command.values())
        return self._current is None and not replies_due and self._notes.empty()

    def state(self, now: datetime) -> dict[str, Any]:
        """Arm state, ledger, last command, response and error, attempts and open offers."""
        return {
            **self.control_state(now),
            "connected": self._connected,
            "recovering": self._recovering,
            "authority": self._proof,
            "ledger": self._view,
            "own_read": None if self._reading is None else msgspec.structs.replace(self._reading, nonces={}, salts={}),
            "in_flight": int(self._current is not None),
            "commands_waiting": len(self._commands),
            "open_offers": [followed.offer for followed in self._offers.by_command.values()],
            **self._report.state(),
        }


def _after(record: RecordReceived) -> CommandPosition:
    return CommandPosition(topic_id=record.topic_id, next_offset=record.offset + 1)


def _chain_of(record: RecordReceived, stages: dict[str, datetime]) -> Chain:
    message = record.message
    return Chain(
        correlation_id=message.correlation_id, causation_id=message.event_id, stages={**message.stages, **stages}
    )


def _stamped(chain: Chain, stage: str, at: datetime) -> Chain:
    return msgspec.structs.replace(chain, stages={**chain.stages, stage: at})
