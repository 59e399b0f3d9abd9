"""Mistakes about prices, files, topics and the database that only a plan shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any
from unittest.mock import patch

from simulation.planted import Patches, Planted, passes, patched
from simulation.stores import Database
from unrip.domain.decision import Refusal
from unrip.domain.desk_state import LedgerView
from unrip.domain.values import Amount
from unrip.feeds import kraken
from unrip.frame import spool
from unrip.frame.contract import Publish, RecordReceived
from unrip.frame.spool import Spool, _Kept
from unrip.messages.envelope import encode
from unrip.messages.topics import EXECUTE_TRADE
from unrip.services.history_writer.positions import Positions
from unrip.services.market_reference_ingest import sources
from unrip.services.trade_executor.effects import ClaimDecided, ClaimOffer
from unrip.services.trade_executor.handlers.ledger import LedgerHandlers
from unrip.services.trade_executor.intake.renewal import Renewal
from unrip.services.trade_executor.logic import TradeExecutor
from unrip.store.errors import StoreUnavailable
from unrip.store.memory_account import Asset
from unrip.store.memory_ledger import MemoryLedger

# --- ledgers that take a movement for a misreading --------------------------------------------------------------------


class _Doubting(MemoryLedger, ABC):
    """Leaves out a balance that moved by more than it thinks possible."""

    @abstractmethod
    def _doubted(self, asset: Asset, amount: int, view: LedgerView, name: str) -> bool:
        """Whether this amount is one."""

    async def apply_reading(self, account: str, *, credited: dict[str, Amount], **reading: Any) -> LedgerView:
        """Take over the balances that it believes."""
        book = self._book(account)
        kept = {
            name: Amount(book.assets[name].credited)
            if name in book.assets and self._doubted(book.assets[name], amount, book.view(), name)
            else amount
            for name, amount in credited.items()
        }
        return await super().apply_reading(account, credited=kept, **reading)


class NoFall(_Doubting):
    """Nothing falls by more than what was promised."""

    def _doubted(self, asset: Asset, amount: int, view: LedgerView, name: str) -> bool:
        return amount < asset.credited - view.held.get(name, 0)


class NoRise(_Doubting):
    """Nothing rises by more than what open offers bring."""

    def _doubted(self, asset: Asset, amount: int, view: LedgerView, name: str) -> bool:
        return amount > asset.credited + (view.incoming or {}).get(name, 0)


# --- prices ---


def _old_prices_do() -> Patches:
    def make(original: Any) -> Any:
        def init(self: sources.Kraken, *, age_max_ms: int) -> None:
            original(self, age_max_ms=60 * age_max_ms)

        return init

    return [passes(Refusal.PRICE_STALE), patched(sources.Kraken, "__init__", make)]


def _every_engine_is_online() -> Patches:
    return [patch.object(sources.Kraken, "system", lambda _self, _now: sources.ONLINE)]


def _crossed_is_a_price() -> Patches:
    def make(original: Any) -> Any:
        def refusal_of(bid: object, ask: object) -> str | None:
            found: str | None = original(bid, ask)
            return None if found == "crossed" else found

        return refusal_of

    return [patched(kraken, "refusal_of", make), passes(Refusal.PRICE_SOURCES_DISAGREE)]


# --- files, the database and the topics -------------------------------------------------------------------------------


def _unknown_claims(kind: str) -> Any:
    """A claim of which nobody heard came to this."""

    def make(original: Any) -> Any:
        async def claim(self: LedgerHandlers, effect: ClaimOffer) -> None:
            try:
                await original(self, effect)
            except StoreUnavailable:
                view = (await self._ledger.load(self._account)).view
                self._emit(ClaimDecided(command_id=effect.offer.command_id, kind=kind, view=view))

        return claim

    return patched(LedgerHandlers, "_claim", make)


def _refused_claims_count() -> Patches:
    return [_unknown_claims("claimed"), patch.object(Database, "works", property(lambda database: database.up))]


def _files_are_always_there() -> Patches:
    def keep(self: Spool, record: Publish) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(encode(_Kept(event_id=record.event_id, observed_at=record.observed_at, payload=record.payload)))
            file.write(b"\n")
        return True

    return [patch.object(Spool, "keep", keep), patch.object(spool, "_is_whole", lambda _line: True)]


def _older_ledgers_are_used() -> Patches:
    return [
        patch.object(Renewal, "commits", property(lambda _self: 0)),
        patch.object(Renewal, "why_older", lambda _self, _event, *, in_doubt: ""),  # noqa: ARG005 - as there
    ]


def _offsets_say_it_all() -> Patches:
    def make(original: Any) -> Any:
        def take(self: TradeExecutor, event: Any, now: datetime) -> Any:
            if isinstance(event, RecordReceived) and event.topic == EXECUTE_TRADE.name:
                view = self._renewal.view
                handled = None if view is None else view.position
                if handled and handled.topic_id == event.topic_id and event.offset < handled.next_offset:
                    return []
            return original(self, event, now)

        return take

    return [patched(TradeExecutor, "take", make)]


def _topics_have_no_identity() -> Patches:
    return [patch.object(Positions, "why_not", lambda _self, _topic, _topic_id: None)]


#: By a short name, in the order of docs/simulation.md.
ON_INPUTS = {
    "old-price": Planted(
        mistake="nobody asks how old a price is",
        patches=_old_prices_do,
        under={"kraken/mute": 1, "kraken/down": 2},
        breaks=("priced",),
    ),
    "any-engine": Planted(
        mistake="nobody asks whether Kraken's engine is online",
        patches=_every_engine_is_online,
        under={"kraken/system_status": 1},
        breaks=("priced",),
    ),
    "crossed": Planted(
        mistake="a book whose bid is above its ask has a price",
        patches=_crossed_is_a_price,
        under={"kraken/crossed": 1},
        breaks=("priced",),
    ),
    "one-source": Planted(
        mistake="nobody asks whether CoinGecko agrees with Kraken",
        patches=lambda: [passes(Refusal.PRICE_SOURCES_DISAGREE)],
        under={"coingecko/price_factor": 2},
        breaks=("priced",),
    ),
    "any-peg": Planted(
        mistake="nobody asks whether the euro token is worth a euro",
        patches=lambda: [passes(Refusal.PEG_BROKEN)],
        under={"coingecko/eure_price": 1},
        breaks=("priced",),
    ),
    "no-fall": Planted(
        mistake="a fall of a balance by more than was promised is taken for a misreading",
        patches=list,
        make_ledger=NoFall,
        under={"withdrawal": 1},
        breaks=("credited",),
    ),
    "no-rise": Planted(
        mistake="a rise of a balance by more than offers bring is taken for a misreading",
        patches=list,
        make_ledger=NoRise,
        under={"deposit": 1, "verifier/gift": 1},
        breaks=("credited",),
    ),
    "files-hold": Planted(
        mistake="a file can always be written, and holds whole lines",
        patches=_files_are_always_there,
        under={"files": 3},
        beside=("broker_away", "halt"),
        breaks=("recovery",),
    ),
    "refused-claim": Planted(
        mistake="a database that answers questions is healthy, and a claim that it refused is made",
        patches=_refused_claims_count,
        under={"database_read_only": 3},
        breaks=("recorded",),
    ),
    "passed-over": Planted(
        mistake="a claim whose outcome is unknown was not made",
        patches=lambda: [_unknown_claims("rejected")],
        under={"lost_request": 2, "lost_commit": 1},
        breaks=("class", "recorded"),
    ),
    "older-ledger": Planted(
        mistake="nobody counts the ledger's commits",
        patches=_older_ledgers_are_used,
        under={"older_copy": 1},
        breaks=("forgotten", "solvent", "class", "once", "sum", "recorded"),
    ),
    "by-offset": Planted(
        mistake="a command at an offset before the ledger's position was handled",
        patches=_offsets_say_it_all,
        under={"topic_cut": 1},
        breaks=("class",),
    ),
    "no-identity": Planted(
        mistake="a topic is told from its former self by its name",
        patches=_topics_have_no_identity,
        under={"topic_lost": 3},
        breaks=("recovery", "history"),
    ),
}
