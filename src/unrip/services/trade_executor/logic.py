"""The executor: each command is inspected, signed, claimed, sent once and followed until the chain says how it ended.

Here every event finds who takes it: `intake/` a command up to its claim, `relay/` the answer, `offers/` what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from unrip.domain.doubt import Belief, Believed
from unrip.domain.status import ExecutorVitals
from unrip.frame.contract import (
    CaughtUp,
    Control,
    ControlRefused,
    DatabaseChanged,
    Effect,
    Event,
    Published,
    PublishFailed,
    RecordReceived,
    RoleChanged,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
    TopicTruncated,
)
from unrip.frame.logic import Logic
from unrip.frame.switchboard import REARM, Switchboard
from unrip.messages.topics import EXECUTE_TRADE, LIQUIDITY_ACTION, MARKET_PRICE
from unrip.net.clock_offset import ClockCompared
from unrip.net.events import FrameNotSent, FrameReceived, FrameSent, SocketClosed, SocketOpened
from unrip.services.trade_executor.definition import RESOLVE, UNDO_READING
from unrip.services.trade_executor.effects import (
    AuthorityJudged,
    CheckHeld,
    ClaimDecided,
    FillsRead,
    FillsUnread,
    HeldChecked,
    LedgerLoaded,
    LedgerNoted,
    LedgerOlder,
    LedgerRefused,
    LedgerUnknown,
    LoadLedger,
    OfferFound,
    OfferSigned,
    PastRead,
    PastUnread,
    ProveAuthority,
    RevocationPublished,
    RevocationSigned,
    RevocationTraced,
    UseRead,
    VerifierRead,
    VerifierUnread,
)
from unrip.services.trade_executor.intake.commands import Commands
from unrip.services.trade_executor.intake.inspection import Inspector
from unrip.services.trade_executor.intake.ledger_session import LedgerSession
from unrip.services.trade_executor.intake.own_limits import OwnLimits
from unrip.services.trade_executor.intake.quarantine import Quarantine
from unrip.services.trade_executor.intake.renewal import Renewal
from unrip.services.trade_executor.offers import ledger_writes, relay_traffic
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.chain_watch import ChainWatch
from unrip.services.trade_executor.offers.relay_traffic import RelayTraffic
from unrip.services.trade_executor.offers.revocations import Revocations
from unrip.services.trade_executor.relay.client import RelayClient
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.state import AuthorityState, ExecutorState

_PROVE_AGAIN = timedelta(seconds=5)


class TradeExecutor(Logic):
    """Pure logic of trade-executor."""

    def __init__(
        self,
        *,
        inspector: Inspector,
        relay: RelayClient,
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
        self.life = self._switchboard = switchboard
        self._report = ExecutionReport()
        self._book = book = Book(account=inspector.account, client=relay, report=self._report)
        belief = Belief(ahead_max=timedelta(milliseconds=inspector.policy.clock_ahead_max_ms), nodes=nodes)
        self._chain = ChainWatch(book, client=relay, report=self._report, belief=belief)
        self._revocations = Revocations(book, self._chain)
        self._relay = relay
        self._traffic = RelayTraffic(relay, book, self._chain, report=self._report, reply_bound=reply_bound)
        self._quarantine = Quarantine(
            account=inspector.account, policy=inspector.policy, writes=book.writes, on_begin=switchboard.end
        )
        self._renewal = Renewal()
        self._commands = Commands(
            inspector=inspector,
            own=self._own,
            switchboard=switchboard,
            quarantine=self._quarantine,
            renewal=self._renewal,
            book=book,
            chain=self._chain,
            revocations=self._revocations,
            traffic=self._traffic,
            report=self._report,
        )
        self._ledger = LedgerSession(self._commands)
        #: Whether the ledger was asked for at the start.
        self._loading = False

    # --- events ----------------------------------------------------------------------------------------------------

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take one event in; see `frame/contract.py`. Every write names the newest commit that was heard of."""
        effects, commands = self._on_event(event, now), self._commands
        self._book.complete = self._quarantine.knows_every_offer(
            handled=not commands.waiting and commands.current is None
        )
        quiet = commands.current is None and self._book.writes.in_flight is None
        return self._renewal.asked(effects, quiet=quiet)

    def _on_event(self, event: Event, now: datetime) -> Sequence[Effect]:  # noqa: C901 - a dispatch table
        match event:
            case RecordReceived(topic=LIQUIDITY_ACTION.name) | CaughtUp(topic=LIQUIDITY_ACTION.name):
                return self._book.withdrawals.on_topic(event)
            case RecordReceived() | CaughtUp():
                return self._on_topic(event, now)
            case TopicTruncated():
                return self._quarantine.on_truncated(event.topic, now)
            case OfferSigned():
                return self._commands.on_signed(event, now)
            case ClaimDecided():
                self._ledger.trouble.over("claim")
                return self._commands.on_decided(event, now)
            case FrameSent() | FrameNotSent():
                return self._traffic.on_frame_fate(event, now)
            case FrameReceived() | SocketOpened() | SocketClosed():
                return self._traffic.on_event(event, now)
            case VerifierRead():
                return self._on_read(event, now)
            case VerifierUnread():
                return [*self._chain.on_unread(event, now), *self._commands.next(now)]
            case FillsRead() | FillsUnread():
                return self._chain.on_fills(event)
            case PastRead() | PastUnread() | UseRead():
                return self._chain.older_blocks.on_past(event, now)
            case RevocationSigned() | RevocationPublished() | RevocationTraced():
                return self._revocations.on_event(event, now)
            case LedgerNoted():
                self._ledger.trouble.over("note")
                self._renewal.seen(event.view)
                return [*self._book.on_noted(now), *self._commands.next(now)]
            case Published() | PublishFailed() if event.token != REARM:
                return self._traffic.on_record(event)
            case OfferFound():
                return self._traffic.on_found(event)
            case LedgerLoaded() | LedgerUnknown() | LedgerRefused() | LedgerOlder():
                return self._ledger.on_event(event, now)
            case HeldChecked():
                return self._report.held_differs(event.differences)
            case AuthorityJudged():
                return self._on_judged(event, now)
            case TimerFired():
                return self._on_timer(event, now)
            case Started() | RoleChanged():
                return self._on_role(event, now)
            case ClockCompared():
                self._own.clock = event
            case DatabaseChanged():
                return self._ledger.on_database(event)
            case _:
                return self._switchboard.on_lease(event, now, lambda _: not self.not_ready(now))
        return []

    def _on_role(self, event: Started | RoleChanged, now: datetime) -> list[Effect]:
        """Without the lock commands wait, since another instance may handle them. The first take-over loads."""
        self._commands.awaits_role = False
        if not event.active:
            left = self._traffic.without_role(event.why, now)
            return left if self._loading else []
        connected = self._traffic.with_role()
        if self._loading:
            return [*connected, *self._commands.next(now)]
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
        judged = self._chain.believing.take(event.reading, now)
        replaces = isinstance(judged, Believed) and judged.replaces is not None
        quarantined = self._quarantine.begin("reading_replaced", now) if replaces else []
        effects = [*quarantined, *self._chain.on_read(event.reading, judged, now)]
        if isinstance(judged, Believed) and self._inspector.believes(event.reading, now):
            effects += self._quarantine.on_block(event.reading)
        if self._quarantine.state is None:
            self._book.forget_what_it_lacks()
        return [*effects, *self._commands.next(now)]

    def _on_judged(self, event: AuthorityJudged, now: datetime) -> list[Effect]:
        self._commands.proof = event
        if event.proven:
            return []
        return [SetTimer(name="prove_again", at=now + _PROVE_AGAIN), *self._chain.on_refusal(event.reason, now)]

    # --- the topics ------------------------------------------------------------------------------------------------

    def _on_topic(self, event: RecordReceived | CaughtUp, now: datetime) -> list[Effect]:
        """Take a record: results of an earlier life are read back once, then come the commands."""
        if event.topic == EXECUTE_TRADE.name:
            if not self._quarantine.judged:  # on its way when the ledger was found to be older: it is read again
                return []
            effects = self._quarantine.on_commands(event.topic_id, now)
            if isinstance(event, RecordReceived):
                self._commands.waiting.append(event)
            else:
                self._quarantine.commands_read()
            return [*effects, *self._commands.next(now)]
        if event.topic == MARKET_PRICE.name:
            return self._own.priced(event)
        if isinstance(event, CaughtUp):
            return self._quarantine.results_read(now)
        return self._quarantine.on_result(event.message.payload, now)

    # --- timers and controls ---------------------------------------------------------------------------------------

    def _on_timer(self, timer: TimerFired, now: datetime) -> list[Effect]:  # noqa: C901 - a dispatch table
        name, _, command_id = timer.name.partition(":")
        if name in self._relay.timers:
            return self._relay.on_timer(name, now)
        match name:
            case "read":
                wanted = self._commands.active or self._book.revoked.requested
                asked = self._chain.ask(now) if wanted else []
                return [*asked, SetTimer(name="read", at=now + self._read_interval)]
            case relay_traffic.LEAVE_TIMER:
                return self._traffic.on_leave_timer()
            case "reply":
                return self._traffic.on_reply_timer(command_id, now)
            case ledger_writes.TIMER:
                return self._book.writes.again()
            case "claim_again" if not self._commands.active:
                return [SetTimer(name="claim_again", at=now + ledger_writes.RETRY)]
            case "claim_again":
                return self._commands.claim_again()
            case "check_held":
                return [CheckHeld(), SetTimer(name="check_held", at=now + self._held_check_interval)]
            case "load_again":
                return [LoadLedger()]
            case "prove_again":
                return [ProveAuthority()]
        return self._switchboard.on_lease(timer, now, lambda _: not self.not_ready(now))

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        """Take an operator's action in."""
        self._refuse_too_early(control, now)
        if control.action == RESOLVE.name:
            return self._chain.older_blocks.resolve(control, now)
        if control.action == UNDO_READING.name:
            quarantined = self._quarantine.begin("reading_undone", now)
            return [*quarantined, *self._chain.undo(f"{control.actor}: {control.reason}", now)]
        if control.action == "halt" and not self._switchboard.switches.halted:
            self._book.revoked.begin()
        effects = self._switchboard.act(control, now)
        if effects is None:
            return super().act(control, now)
        revocations = self._revocations.revoke(now) if control.arguments.get("revoke") else []
        return [*effects, *revocations, *self._commands.next(now)]

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        """What an action would change; how many offers a halt would revoke is known once it has acted."""
        self._refuse_too_early(control, now)
        if control.action == RESOLVE.name:
            live, _end = self._chain.older_blocks.end_by(control)
            return {"revoking": str(self._book.revoked.unknown_but(each.offer.command_id for each in live.open))}
        if control.action == UNDO_READING.name:
            return {} if self._quarantine.state is not None else self._switchboard.disarmed(now)
        return super().follow(control, now)

    def _refuse_too_early(self, control: Control, now: datetime) -> None:
        if control.action == "arm" and (reasons := self.not_ready(now)):
            raise ControlRefused(f"not ready: {', '.join(reasons)}")
        if control.action == RESOLVE.name and not self._book.complete:
            raise ControlRefused("the ledger may lack offers of that nonce until every command is read: wait")

    # --- what the frame asks ---------------------------------------------------------------------------------------

    def stands_in_the_way(self, now: datetime) -> list[str]:
        """Everything that stands between a command and its answer, arming apart."""
        reading = self._chain.reading
        limit = timedelta(milliseconds=self._inspector.policy.inventory_age_max_ms)
        reasons = {
            self.life.why_not_active: not self._commands.active,
            "database_away": not self.life.database_up,
            "ledger_not_loaded": not self._book.loaded,
            **self._ledger.trouble.stands_in_the_way(),
            **dict.fromkeys(self._traffic.not_ready(), True),
            "results_not_read": not self._quarantine.judged,
            **self._quarantine.stands_in_the_way(),
            f"authority_not_proven: {self._commands.proof.reason}": not self._commands.proof.proven,
            "verifier_not_read": reading is None or now - reading.observed_at > limit,
            "clock_skewed": self._inspector.skewed(self._chain.believing.told, self._own.clock, now) is not None,
            **dict.fromkeys(self._chain.believing.not_ready(), True),
        }
        return [reason for reason, holds in reasons.items() if holds]

    def health_failures(self) -> list[str]:
        """The name of the fault where the ledger's counters and open holds do not add up."""
        return self._report.health_failures()

    def details(self, now: datetime) -> ExecutorVitals:
        """Armed, halted, recovering, and the ledger."""
        return ExecutorVitals(
            switches=self._switchboard.view(now),
            recovering=self._chain.recovering,
            lag=len(self._commands.waiting),
            ledger=self._renewal.view,
        )

    def controlled(self, now: datetime) -> dict[str, str]:
        """How many offers are being revoked."""
        del now
        return {"revoking": str(self._book.revoked.unknown)}

    def idle(self) -> bool:
        """No command is before its claim, no sent answer without its reply or its end, and every note is committed."""
        return self._commands.current is None and self._traffic.idle()

    def state(self, now: datetime) -> ExecutorState:
        """Arm state, ledger, last command, response and error, attempts and open offers."""
        reading = self._chain.reading
        switches: dict[str, Any] = self.control_state(now)
        return ExecutorState(
            **switches,
            connected=self._relay.up,
            connection=self._relay.state(),
            recovering=self._chain.recovering,
            quarantine=self._quarantine.state,
            authority=AuthorityState(proven=self._commands.proof.proven, reason=self._commands.proof.reason),
            clock_ahead=self._own.clock,
            ledger=self._renewal.view,
            own_read=None if reading is None else msgspec.structs.replace(reading, nonces={}, salts={}),
            in_flight=int(self._commands.current is not None),
            commands_waiting=len(self._commands.waiting),
            open_offers=tuple(live.offer for live in self._book.everything()),
            revocation=self._book.revoked.state(),
            in_doubt=self._chain.older_blocks.state(),
            **self._report.state(),
        )
