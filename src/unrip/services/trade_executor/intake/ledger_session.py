"""What the executor does about its ledger as a whole: load it, judge it, and bear what it does not do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from datetime import datetime

from unrip.messages.topics import EXECUTE_TRADE, TRADE_RESULT
from unrip.service.contract import DatabaseChanged, Effect, Logic, RecordReceived, SetTimer, Unsubscribe
from unrip.services.trade_executor.effects import (
    ClaimOffer,
    LedgerLoaded,
    LedgerOlder,
    LedgerRefused,
    LedgerUnknown,
    ProveAuthority,
    RejectCommand,
)
from unrip.services.trade_executor.intake.ledger_trouble import LedgerTrouble
from unrip.services.trade_executor.intake.own_limits import OwnLimits
from unrip.services.trade_executor.intake.quarantine import Quarantine
from unrip.services.trade_executor.intake.renewal import Renewal
from unrip.services.trade_executor.offers import ledger_writes
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.chain_watch import ChainWatch
from unrip.services.trade_executor.offers.revocations import Revocations
from unrip.services.trade_executor.offers.withdrawals import Withdrawals
from unrip.services.trade_executor.relay.traffic import RelayTraffic


class LedgerFacing(Logic, ABC):
    """The part of the executor's logic that its ledger's own events reach."""

    _book: Book
    _chain: ChainWatch
    _traffic: RelayTraffic
    _revocations: Revocations
    _withdrawals: Withdrawals
    _quarantine: Quarantine
    _renewal: Renewal
    _trouble: LedgerTrouble
    _own: OwnLimits
    _active: bool
    _database_up: bool
    _adopting: bool
    _commands: deque[RecordReceived]
    _current: RecordReceived | None
    _claim: ClaimOffer | RejectCommand | None

    @abstractmethod
    def _handle_next(self, now: datetime) -> list[Effect]: ...

    def _on_database(self, event: DatabaseChanged) -> list[Effect]:
        """A new session may lead to another database, or to the same one of an earlier moment: it is judged first."""
        self._database_up = event.up
        if event.up and self._book.loaded:
            self._judge_ledger("")
        return []

    def _judge_ledger(self, doubt: str) -> None:
        """Load the ledger once no write is under way; nothing is claimed or written before."""
        self._renewal.want(doubt)
        self._book.writes.hold()

    def _on_ledger(
        self, event: LedgerLoaded | LedgerUnknown | LedgerRefused | LedgerOlder, now: datetime
    ) -> list[Effect]:
        if isinstance(event, LedgerLoaded):
            self._trouble.loaded()
            return self._on_loaded(event, now)
        if isinstance(event, LedgerOlder):
            return self._on_older(event)
        self._trouble.failed(event)
        if isinstance(event, LedgerRefused) and event.lane == "claim":
            return self._set_aside(event)
        match event.lane:
            case "note":
                return self._book.writes.unknown(now)
            case "claim":
                return [SetTimer(name="claim_again", at=now + ledger_writes.RETRY)]
            case "find":
                return self._traffic.on_not_found()
            case "check":
                return []  # asked again in its own time
            case _:
                self._renewal.answered()
                return [SetTimer(name="load_again", at=now + ledger_writes.RETRY)]

    def _on_older(self, event: LedgerOlder) -> list[Effect]:
        """It has taken nothing in. A command that it refused is read again, from where it has come to."""
        self._judge_ledger(event.reason)
        if event.lane == "claim":
            self._claim, self._current, self._adopting = None, None, False
        elif event.lane == "note":
            self._book.writes.refused()
        return []

    def _set_aside(self, event: LedgerRefused) -> list[Effect]:
        """Nothing is claimed: judge the command anew once the role is ours again, by then perhaps as too late."""
        record, self._current, self._claim, self._adopting = self._current, None, None, False
        if record is None:
            raise AssertionError("the ledger refused a claim that nobody made")
        self._active = False
        self._book.claiming.discard(record.message.payload.nonce)
        self._commands.appendleft(record)
        return self._trouble.set_aside(record, event.reason)

    def _on_loaded(self, event: LedgerLoaded, now: datetime) -> list[Effect]:
        """Follow what is open. At start the commands are then read from right after the ledger's position."""
        self._renewal.answered()
        first, in_doubt = not self._book.loaded, self._quarantine.state is not None
        older = "" if first else self._renewal.why_older(event, in_doubt=in_doubt)
        judged = self._renewal.decides()
        if older and judged:
            return self._reload(event, older, now)
        if older:  # writes are under way: once more when they are not
            self._judge_ledger(older)
            return []
        self._renewal.seen(event.view)
        self._chain.believing.load(event)
        self._book.load(event)
        heard = self._withdrawals.hear() if first and event.open_offers else []
        revoked = self._revocations.revoke(now) if self._book.revoked.waits_for_ledger else []
        self._book.claiming &= {self._current.message.payload.nonce} if self._current else set()
        if not first:
            return [*heard, *revoked, *(self._book.writes.go_on() if judged else []), *self._handle_next(now)]
        self._own.load(event.claimed_lately)
        return [*heard, *revoked, *self._quarantine.load(event, now), ProveAuthority()]

    def _reload(self, event: LedgerLoaded, reason: str, now: datetime) -> list[Effect]:
        """The ledger is not the newest one: as at a start, but that what we remember is not forgotten."""
        heard, self._renewal.view = self._renewal.commits, event.view
        self._commands.clear()
        self._book.claiming.clear()
        self._book.fall_back(event)
        return [
            Unsubscribe(topic=TRADE_RESULT),
            Unsubscribe(topic=EXECUTE_TRADE),
            *self._quarantine.load(event, now, reason=reason, commits=heard),
            *self._book.writes.go_on(),
        ]
