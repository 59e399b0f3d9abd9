"""The executor: each command is inspected, signed, claimed, sent once and followed until the chain says how it ended.

Commands are handled strictly in order, one at a time up to their claim, so that the ledger's position is contiguous.
What happens to an offer after its claim stands in `pursuit.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from unrip.domain.attempt import AttemptState, Offer, Rejection
from unrip.domain.command import TradeCommand
from unrip.domain.doubt import Belief, Believed
from unrip.messages.topics import EXECUTE_TRADE, MARKET_PRICE
from unrip.net.events import FrameNotSent, FrameReceived, FrameSent, SocketClosed, SocketOpened
from unrip.service.contract import (
    CaughtUp,
    Control,
    ControlRefused,
    Count,
    CrashPoint,
    DatabaseChanged,
    Draining,
    Effect,
    Event,
    Logic,
    Published,
    PublishFailed,
    RecordReceived,
    RoleChanged,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
    TopicTruncated,
    Vitals,
)
from unrip.service.switchboard import REARM, Switchboard
from unrip.services.trade_executor import lane, quarantine, standing
from unrip.services.trade_executor.aside import LedgerTrouble
from unrip.services.trade_executor.believing import UNDO_READING
from unrip.services.trade_executor.conversation import Conversation
from unrip.services.trade_executor.effects import (
    AuthorityJudged,
    CheckHeld,
    ClaimDecided,
    ClaimOffer,
    FillsRead,
    HeldChecked,
    LedgerLoaded,
    LedgerNoted,
    LedgerRefused,
    LedgerUnknown,
    LoadLedger,
    OfferFound,
    OfferSigned,
    PastRead,
    PastUnread,
    ProveAuthority,
    RejectCommand,
    RevocationPublished,
    RevocationSigned,
    RevocationTraced,
    SignOffer,
    UseRead,
    VerifierRead,
    VerifierUnread,
)
from unrip.services.trade_executor.following import FINALITY_ALLOWANCE
from unrip.services.trade_executor.hindsight import RESOLVE_ACTION
from unrip.services.trade_executor.inspection import Inspector, Numbers
from unrip.services.trade_executor.own_limits import OwnLimits
from unrip.services.trade_executor.pursuit import Pursuit
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import chain_of, position_after, rejected, result_of_offer

_PROVE_AGAIN = timedelta(seconds=5)
#: What the ledger rejects by itself, though a claim was asked for.
_REFUSED_BY_THE_LEDGER = {
    Rejection.INSUFFICIENT_INVENTORY,
    Rejection.SUPERSEDED,
    Rejection.NONCE_ENDED,
    Rejection.SAME_OFFER,
    Rejection.COMMAND_INVALID,  # of a strategy that PostgreSQL has never seen
}


class TradeExecutor(Logic):
    """Pure logic of trade-executor."""

    def __init__(
        self,
        *,
        inspector: Inspector,
        conversation: Conversation,
        read_interval: timedelta,
        held_check_interval: timedelta,
        reply_bound: timedelta,
        switchboard: Switchboard,
        nodes: int = 1,
    ) -> None:
        self._inspector = inspector
        self._own = OwnLimits(pair=inspector.pair, caps=inspector.caps)
        self._read_interval = read_interval
        self._held_check_interval = held_check_interval
        self._switchboard = switchboard
        self._report = ExecutionReport()
        self._pursuit = Pursuit(
            account=inspector.account,
            conversation=conversation,
            reply_bound=reply_bound,
            report=self._report,
            belief=Belief(ahead_max=timedelta(milliseconds=inspector.policy.clock_ahead_max_ms), nodes=nodes),
        )
        policy = inspector.policy
        self._quarantine = quarantine.Quarantine(
            account=inspector.account,
            longest_life=timedelta(milliseconds=policy.longest_life_ms + policy.clock_ahead_max_ms)
            + FINALITY_ALLOWANCE,
            notes=self._pursuit.notes,
        )
        self._active, self._why_not_active = False, ""
        self._trouble, self._standing = LedgerTrouble(), standing.Standing()
        self._draining = False
        self._database_up = True
        #: The ledger was asked for, which happens once, and has answered.
        self._loading = False
        self._loaded = False
        self._proof = AuthorityJudged(proven=False, reason="not tried yet")
        self._commands: deque[RecordReceived] = deque()
        #: The command being handled, and the ledger write that decides it once it is known.
        self._current: RecordReceived | None = None
        self._claim: ClaimOffer | RejectCommand | None = None
        #: When the ledger was asked for the claim under way.
        self._claimed_at = datetime.min.replace(tzinfo=UTC)
        #: It is a command of which nobody knows whether it was sent.
        self._adopting = False

    # --- events ----------------------------------------------------------------------------------------------------

    def on_event(self, event: Event, now: datetime) -> Sequence[Effect]:  # noqa: C901 - a dispatch table
        """Take one event in; see `service/contract.py`."""
        match event:
            case RecordReceived() | CaughtUp():
                return self._on_topic(event, now)
            case TopicTruncated():
                return self._quarantine.on_truncated(event.topic, now)
            case OfferSigned():
                return self._on_signed(event, now)
            case ClaimDecided():
                self._trouble.over()
                return self._on_claim_decided(event, now)
            case FrameSent() | FrameNotSent():
                return self._pursuit.on_frame_fate(event, now)
            case FrameReceived() | SocketOpened() | SocketClosed():
                return self._pursuit.on_relay(event, now)
            case VerifierRead():
                return self._on_read(event, now)
            case VerifierUnread():
                return [*self._pursuit.on_unread(event, now), *self._handle_next(now)]
            case FillsRead():
                return self._pursuit.on_fills(event)
            case PastRead() | PastUnread() | UseRead():
                return self._pursuit.hindsight.on_past(event, now)
            case RevocationSigned() | RevocationPublished() | RevocationTraced():
                return self._pursuit.on_revocation(event, now)
            case LedgerNoted():
                self._trouble.over()
                return [*self._pursuit.on_noted(event, now), *self._handle_next(now)]
            case Published() | PublishFailed() if event.token != REARM:
                return self._pursuit.on_record(event)
            case OfferFound():
                return self._pursuit.on_found(event)
            case LedgerLoaded() | LedgerUnknown() | LedgerRefused():
                return self._on_ledger(event, now)
            case HeldChecked():
                return self._report.held_differs(event.differences)
            case AuthorityJudged():
                return self._on_judged(event, now)
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
            case _:
                return self._switchboard.on_event(event, now, lambda _: not self.not_ready(now))
        return []

    def _on_role(self, event: Started | RoleChanged, now: datetime) -> list[Effect]:
        """Without the lock commands wait, since another instance may handle them. The first take-over loads."""
        self._active, self._why_not_active = event.active, event.why
        self._pursuit.stand(aside=not event.active)
        if not event.active:
            return self._standing.without_role(event.why, now) if self._loading else []
        connected = self._standing.with_role()
        if self._loading:
            return [*connected, *self._handle_next(now)]
        self._loading = True
        return [
            LoadLedger(),
            *connected,
            Subscribe(topic=MARKET_PRICE, tail=1),
            SetTimer(name="read", at=now),
            SetTimer(name="check_held", at=now + self._held_check_interval),
            *self._switchboard.begin(),
        ]

    def _on_read(self, event: VerifierRead, now: datetime) -> list[Effect]:
        """Doubt a reading before it does anything; one that replaces a belief puts the ledger in quarantine first."""
        judged = self._pursuit.believing.take(event.reading, now)
        replaces = isinstance(judged, Believed) and judged.replaces is not None
        quarantined = self._quarantine.begin("reading_replaced", now) if replaces else []
        return [*quarantined, *self._pursuit.on_read(event.reading, judged, now), *self._handle_next(now)]

    def _on_judged(self, event: AuthorityJudged, now: datetime) -> list[Effect]:
        self._proof = event
        if event.proven:
            return []
        return [SetTimer(name="prove_again", at=now + _PROVE_AGAIN), *self._pursuit.on_refusal(event.reason, now)]

    # --- the ledger ------------------------------------------------------------------------------------------------

    def _on_ledger(self, event: LedgerLoaded | LedgerUnknown | LedgerRefused, now: datetime) -> list[Effect]:
        if isinstance(event, LedgerLoaded):
            self._trouble.over()
            return self._on_loaded(event, now)
        self._trouble.failed(event)
        if isinstance(event, LedgerRefused) and event.lane == "claim":
            return self._set_aside(event)
        match event.lane:
            case "note":
                return self._pursuit.notes.unknown(now)
            case "claim":
                return [SetTimer(name="claim_again", at=now + lane.RETRY)]
            case "find":
                return self._pursuit.on_not_found()
            case "check":
                return []  # asked again in its own time
            case _:
                return [SetTimer(name="load_again", at=now + lane.RETRY)]

    def _set_aside(self, event: LedgerRefused) -> list[Effect]:
        """Nothing is claimed: judge the command anew once the role is ours again, by then perhaps as too late."""
        record, self._current, self._claim, self._adopting = self._current, None, None, False
        if record is None:
            raise AssertionError("the ledger refused a claim that nobody made")
        self._active = False
        self._pursuit.claiming.discard(record.message.payload.nonce)
        self._commands.appendleft(record)
        return self._trouble.set_aside(record, event.reason)

    def _on_loaded(self, event: LedgerLoaded, now: datetime) -> list[Effect]:
        """Follow what is open. At start the commands are then read from right after the ledger's position."""
        revocations = self._pursuit.load(event, now)
        self._pursuit.claiming &= {self._current.message.payload.nonce} if self._current else set()
        if self._loaded:
            return revocations
        self._loaded = True
        self._own.load(event.claimed_lately)
        return [*revocations, *self._quarantine.load(event, now), ProveAuthority()]

    def _on_topic(self, event: RecordReceived | CaughtUp, now: datetime) -> list[Effect]:
        """Results of an earlier life are read back once; then come the commands."""
        if event.topic == EXECUTE_TRADE.name:
            effects = self._quarantine.on_commands(event.topic_id, now)
            if isinstance(event, RecordReceived):
                self._commands.append(event)
            return [*effects, *self._handle_next(now)]
        if event.topic == MARKET_PRICE.name:
            return self._own.priced(event)
        if isinstance(event, CaughtUp):
            return self._quarantine.results_read()
        return self._quarantine.on_result(event.message.payload, now)

    # --- a command up to its claim ---------------------------------------------------------------------------------

    def _handle_next(self, now: datetime) -> list[Effect]:
        """Take the next command, unless one is being handled or the executor is paused: then commands wait."""
        if (
            self._current
            or not self._commands
            or self._switchboard.switches.paused
            or self._draining
            or not self._active
            or (self._quarantine.state is not None and not self._pursuit.recorded())
        ):
            return []
        record = self._current = self._commands.popleft()
        command: TradeCommand = record.message.payload
        self._report.commanded(command)
        if self._quarantine.state is not None:
            return self._adopt(record, command, now)
        found = self._inspector.rejection(
            command,
            switches=self._switchboard.switches,
            connected=self._proof.proven and not self._pursuit.not_ready(),
            reading=self._pursuit.reading,
            told=self._pursuit.believing.told,
            explained_fall=self._pursuit.offers.explained_fall(command.asset_out, command.inventory_height),
            live_nonces=self._pursuit.offers.live_nonces(command.asset_out),
            overspent=self._own.overspent(command, self._pursuit.view, self._pursuit.offers, now),
            price=self._own.price,
            now=now,
        )
        return self._sign(command) if found is None else self._reject(record, found, now)

    def _adopt(self, record: RecordReceived, command: TradeCommand, now: datetime) -> list[Effect]:
        """In quarantine a command that the ledger does not know counts as perhaps sent, unless nobody can use it."""
        self._adopting = True
        found = self._inspector.unusable(command, now)
        return self._sign(command) if found is None else self._reject(record, found, now)

    def _sign(self, command: TradeCommand) -> list[Effect]:
        self._pursuit.claiming.add(command.nonce)
        return [SignOffer(command=command)]

    def _reject(self, record: RecordReceived, found: tuple[Rejection, Numbers], now: datetime) -> list[Effect]:
        reason, numbers = found
        command: TradeCommand = record.message.payload
        self._claim = RejectCommand(
            command=command,
            position=position_after(record),
            result=rejected(command, reason, numbers, account=self._inspector.account),
            chain=chain_of(record, {"command_received": now, "rejected": now}),
        )
        return [self._claim]

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
            asset_in=command.asset_in,
            amount_in=command.amount_in,
            asset_out=command.asset_out,
            amount_out=command.amount_out,
            quote_hash=event.quote_hash,
            nonce=command.nonce,
            salt=command.salt,
            answer_by=command.answer_by,
            offer_deadline=command.offer_deadline,
            nonce_deadline=command.nonce_deadline,
            inventory_height=command.inventory_height,
            signed_payload=event.signed_payload,
            correlation_id=record.message.correlation_id,
            state=AttemptState.CLAIMED,
        )
        self._claim = ClaimOffer(
            offer=offer,
            position=position_after(record),
            generation=command.generation,
            result=result_of_offer(
                offer,
                AttemptState.CLAIMED,
                reason="perhaps_sent" if self._adopting else None,
                next_check_at=offer.offer_deadline,
            ),
            chain=chain_of(record, {"signed": now}),
            perhaps_sent=self._adopting,
        )
        self._claimed_at = now
        return [CrashPoint(name="executor.signed"), self._claim]

    def _on_claim_decided(self, event: ClaimDecided, now: datetime) -> list[Effect]:
        claim, record = self._claim, self._current
        if claim is None or record is None:
            raise AssertionError("the ledger decided a claim that nobody made")
        self._claim = self._current = None
        self._adopting = False
        if event.kind != "duplicate":  # else the ledger's own offers are read first
            self._pursuit.claiming.discard(record.message.payload.nonce)
        self._pursuit.view = event.view
        effects: list[Effect] = [Count(name="commands", labels={"outcome": event.kind})]
        if event.kind == "claimed" and isinstance(claim, ClaimOffer):
            self._own.claimed(claim.offer, now)
        match event.kind:
            case "claimed" if isinstance(claim, ClaimOffer) and claim.perhaps_sent:
                effects += self._pursuit.adopt(claim, now, halted=self._switchboard.switches.halted)
            case "claimed" if isinstance(claim, ClaimOffer):
                ends_at = self._claimed_at + event.took
                effects += self._pursuit.send(claim, now, ends_at=ends_at, switches=self._switchboard.switches)
            case "duplicate":  # perhaps our own claim whose commit was not heard of: follow what the ledger has
                effects.append(LoadLedger())
            case kind if kind in _REFUSED_BY_THE_LEDGER and isinstance(claim, ClaimOffer):
                numbers = {"amount_out": str(int(claim.offer.amount_out))}
                command: TradeCommand = record.message.payload
                result = rejected(command, Rejection(kind), numbers, account=self._inspector.account)
                effects += self._report.ended(result, now)
            case _:
                effects += self._report.ended(claim.result, now)
        return [*effects, *self._handle_next(now)]

    # --- timers and controls ---------------------------------------------------------------------------------------

    def _on_timer(self, timer: TimerFired, now: datetime) -> list[Effect]:  # noqa: C901 - a dispatch table
        name, _, command_id = timer.name.partition(":")
        if name in self._pursuit.timers:
            return self._pursuit.on_timer(name, now)
        match name:
            case "read":
                wanted = self._active or self._pursuit.revocations.requested
                asked = self._pursuit.ask(now) if wanted else []
                return [*asked, SetTimer(name="read", at=now + self._read_interval)]
            case standing.TIMER:
                return self._standing.on_timer()
            case "reply":
                return self._pursuit.on_reply_timer(command_id, now)
            case lane.TIMER:
                return self._pursuit.notes.again()
            case "claim_again" if not self._active:
                return [SetTimer(name="claim_again", at=now + lane.RETRY)]
            case "claim_again":
                return [self._claim] if self._claim is not None else []
            case "check_held":
                return [CheckHeld(), SetTimer(name="check_held", at=now + self._held_check_interval)]
            case "load_again":
                return [LoadLedger()]
            case "prove_again":
                return [ProveAuthority()]
            case quarantine.TIMER:
                return [*self._quarantine.on_timer(now), *self._handle_next(now)]
        return self._switchboard.on_event(timer, now, lambda _: not self.not_ready(now))

    def _on_control(self, control: Control, now: datetime) -> list[Effect]:
        if control.action == "arm" and (reasons := self.not_ready(now)):
            raise ControlRefused(f"not ready: {', '.join(reasons)}")
        if control.action == RESOLVE_ACTION.name:
            return self._pursuit.hindsight.resolve(control, now)
        if control.action == UNDO_READING.name:
            quarantined = self._quarantine.begin("reading_undone", now)
            return [*quarantined, *self._pursuit.undo_reading(f"{control.actor}: {control.reason}", now)]
        if control.action == "halt" and not self._switchboard.switches.halted:
            self._pursuit.revocations.begin()
        effects = self._switchboard.follow(control, now)
        if effects is None:
            return []
        revocations = self._pursuit.revoke(now) if control.arguments.get("revoke") else []
        return [*effects, *revocations, *self._handle_next(now)]

    # --- what the frame asks ---------------------------------------------------------------------------------------

    def not_ready(self, now: datetime) -> list[str]:
        """Everything that stands between a command and its answer, arming apart."""
        reading = self._pursuit.reading
        limit = timedelta(milliseconds=self._inspector.policy.inventory_age_max_ms)
        stands_in_the_way = {
            self._why_not_active: not self._active,
            "draining": self._draining,
            "database_away": not self._database_up,
            "ledger_not_loaded": not self._loaded,
            **self._trouble.stands_in_the_way(),
            **dict.fromkeys(self._pursuit.not_ready(), True),
            "results_not_read": not self._quarantine.judged,
            **self._quarantine.stands_in_the_way(),
            f"authority_not_proven: {self._proof.reason}": not self._proof.proven,
            "verifier_not_read": reading is None or now - reading.observed_at > limit,
            "clock_skewed": self._inspector.skewed(self._pursuit.believing.told, now) is not None,
            **dict.fromkeys(self._pursuit.believing.not_ready(), True),
        }
        return [reason for reason, holds in stands_in_the_way.items() if holds]

    def health_failures(self) -> list[str]:
        """A ledger whose counters and open holds do not add up."""
        return self._report.health_failures()

    def vitals(self, now: datetime) -> Vitals:
        """Armed, paused, halted, recovering, and the ledger."""
        return self._switchboard.vitals(
            now, recovering=self._pursuit.recovering, lag=len(self._commands), ledger=self._pursuit.view
        )

    def control_state(self, now: datetime) -> dict[str, str]:
        """The switches, and how many offers are being revoked."""
        return {**self._switchboard.state(now), "revoking": str(self._pursuit.revocations.unknown)}

    def idle(self) -> bool:
        """No command is before its claim, no sent answer without its reply or its end, and every note is committed."""
        return self._current is None and self._pursuit.idle()

    def state(self, now: datetime) -> dict[str, Any]:
        """Arm state, ledger, last command, response and error, attempts and open offers."""
        reading = self._pursuit.reading
        return {
            **self.control_state(now),
            "connected": self._pursuit.connected,
            "connection": self._pursuit.connection(),
            "recovering": self._pursuit.recovering,
            "quarantine": self._quarantine.state,
            "authority": self._proof,
            "ledger": self._pursuit.view,
            "own_read": None if reading is None else msgspec.structs.replace(reading, nonces={}, salts={}),
            "in_flight": int(self._current is not None),
            "commands_waiting": len(self._commands),
            "open_offers": [followed.offer for followed in self._pursuit.offers.by_command.values()],
            "revocation": self._pursuit.revocations.state(),
            "in_doubt": self._pursuit.hindsight.state(),
            **self._report.state(),
        }
