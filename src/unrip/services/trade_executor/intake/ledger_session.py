"""What the executor does about its ledger as a whole: load it, judge it, and bear what it refuses."""

from __future__ import annotations

from datetime import datetime

from unrip.frame.contract import DatabaseChanged, Effect, SetTimer, Unsubscribe
from unrip.messages.topics import EXECUTE_TRADE, TRADE_RESULT
from unrip.services.trade_executor.effects import (
    LedgerLoaded,
    LedgerOlder,
    LedgerRefused,
    LedgerUnknown,
    ProveAuthority,
)
from unrip.services.trade_executor.intake.commands import Commands
from unrip.services.trade_executor.intake.ledger_trouble import LedgerTrouble
from unrip.services.trade_executor.offers.ledger_writes import RETRY


class LedgerSession:
    """One session of the ledger after another: each may be of another ledger than the one before."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._book, self._renewal = commands.book, commands.renewal
        self._quarantine, self._revocations = commands.quarantine, commands.revocations
        self.trouble = LedgerTrouble()

    def on_database(self, event: DatabaseChanged) -> list[Effect]:
        """Judge the ledger: a new session may lead to another database, or to the same one at an earlier moment."""
        if event.up and self._book.loaded:
            self._judge("")
        return []

    def on_event(
        self, event: LedgerLoaded | LedgerUnknown | LedgerRefused | LedgerOlder, now: datetime
    ) -> list[Effect]:
        """Follow the ledger as it was loaded, or a call that failed."""
        if isinstance(event, LedgerLoaded):
            self.trouble.loaded()
            return self._on_loaded(event, now)
        if isinstance(event, LedgerOlder):
            return self._on_older(event)
        self.trouble.failed(event)
        if isinstance(event, LedgerRefused) and event.call == "claim":
            return self.trouble.set_aside(self._commands.put_back(), event.reason)
        match event.call:
            case "note":
                return self._book.writes.unknown(now)
            case "claim":
                return [SetTimer(name="claim_again", at=now + RETRY)]
            case "find":
                self._book.acknowledgements.not_found()
                return []
            case "check":
                return []  # asked again in its own time
            case _:
                self._renewal.answered()
                return [SetTimer(name="load_again", at=now + RETRY)]

    def _judge(self, doubt: str) -> None:
        """Load the ledger once no write is under way; nothing is claimed or written before."""
        self._renewal.want(doubt)
        self._book.writes.hold()

    def _on_older(self, event: LedgerOlder) -> list[Effect]:
        """Load again: an older ledger has taken nothing in. A refused command is read again, from its position."""
        self._judge(event.reason)
        if event.call == "claim":
            self._commands.let_go()
        elif event.call == "note":
            self._book.writes.refused()
        return []

    def _on_loaded(self, event: LedgerLoaded, now: datetime) -> list[Effect]:
        """Follow what is open. At the start the commands are then read from right after the ledger's position."""
        self._renewal.answered()
        first, in_doubt = not self._book.loaded, self._quarantine.state is not None
        older = "" if first else self._renewal.why_older(event, in_doubt=in_doubt)
        judged = self._renewal.decides()
        if older and judged:
            return self._reload(event, older, now)
        if older:  # writes are under way: load once more when they are done
            self._judge(older)
            return []
        self._renewal.seen(event.view)
        self._commands.chain.believing.load(event)
        self._book.load(event)
        heard = self._book.withdrawals.hear() if first and event.open_offers else []
        revoked = self._revocations.revoke(now) if self._book.revoked.waits_for_ledger else []
        current = self._commands.current
        self._book.claiming &= {current.message.payload.nonce} if current else set()
        if not first:
            return [*heard, *revoked, *(self._book.writes.go_on() if judged else []), *self._commands.next(now)]
        self._commands.own.load(event.claimed_lately)
        return [*heard, *revoked, *self._quarantine.load(event, now), ProveAuthority()]

    def _reload(self, event: LedgerLoaded, reason: str, now: datetime) -> list[Effect]:
        """Load a ledger that is not the newest one: as at a start, except that what we remember is kept."""
        heard, self._renewal.view = self._renewal.commits, event.view
        self._commands.waiting.clear()
        self._book.claiming.clear()
        self._book.fall_back(event)
        return [
            Unsubscribe(topic=TRADE_RESULT),
            Unsubscribe(topic=EXECUTE_TRADE),
            *self._quarantine.load(event, now, reason=reason, commits=heard),
            *self._book.writes.go_on(),
        ]
