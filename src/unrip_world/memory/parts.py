"""What is remembered of each core, and how it is put back."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from unrip_world.assets import Pair
from unrip_world.bridge.records import Deposit, Withdrawal
from unrip_world.chain.core import Block, ChainMemory, Outcome
from unrip_world.config import WorldSettings
from unrip_world.exchange.walk import WalkMemory
from unrip_world.judge import Record
from unrip_world.kept import Kept
from unrip_world.memory.file import Row, Rows
from unrip_world.relay.auction import Offer
from unrip_world.relay.delivery import QueueMemory
from unrip_world.relay.settlement import Settlement, SettlementsMemory
from unrip_world.verifier.state import TABLES
from unrip_world.world import World, WorldMemory

#: Raised when the file's form changes, so that an older file is refused by name.
FORM = 1
_WHOLE = "whole"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A collection of which changed entries are written; `read` gives back what `write` wrote."""

    name: str
    entries: Kept[Any, Any]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]

    def row(self, key: Any) -> Row:
        """Write one entry as it is now."""
        entry = self.entries.get(key)
        return self.name, key_text(key), None if entry is None else self.write(entry)

    def put_back(self, rows: dict[str, Any]) -> None:
        """Forget what the newborn core holds, and put back what was remembered."""
        for key in list(self.entries):
            del self.entries[key]
        for text, body in rows.items():
            self.entries[read_key(text)] = self.read(body)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A small thing that is written as a whole whenever it changed."""

    name: str
    shape: Any
    memory: Callable[[], Any]
    resume: Callable[[Any], None]

    def row(self) -> Row:
        """Write it as it is now."""
        return _WHOLE, self.name, msgspec.to_builtins(self.memory())

    def put_back(self, body: Any) -> None:
        """Let the core go on from it."""
        self.resume(_converted(body, self.shape))


def parts_of(world: World) -> list[Part]:
    """The collections, in the order in which they can be put back: blocks name outcomes, batches name offers."""
    storage = world.verifier.storage
    tables = [_plain(f"storage/{table}", storage.versions[table], to=_atoms, read=_versions) for table in TABLES]
    return [
        *tables,
        _typed("outcomes", world.chain.outcomes, Outcome),
        _plain("blocks", world.chain.blocks, to=_block_row, read=lambda row: _block(row, world.chain.outcomes)),
        _typed("deposits", world.bridge.deposits, Deposit),
        _typed("withdrawals", world.bridge.withdrawals, list[Withdrawal]),
        _typed("offers", world.relay.offers, Offer),
        _plain(
            "settlements",
            world.relay.settlements.by_tx,
            to=_settlement_row,
            read=lambda row: _settlement(row, world.relay.offers),
        ),
    ]


def wholes_of(world: World) -> list[Whole]:
    """What is small, in the order in which it can be put back."""
    relay = world.relay
    return [
        Whole(name="world", shape=WorldMemory, memory=world.memory, resume=world.resume),
        Whole(name="chain", shape=ChainMemory, memory=world.chain.memory, resume=world.chain.resume),
        Whole(name="market", shape=WalkMemory, memory=world.walk.memory, resume=world.walk.resume),
        Whole(name="bridge", shape=int, memory=world.bridge.memory, resume=world.bridge.resume),
        Whole(name="judge", shape=dict[str, Record], memory=world.judge.memory, resume=world.judge.resume),
        Whole(
            name="batches",
            shape=SettlementsMemory,
            memory=relay.settlements.memory,
            resume=relay.settlements.resume,
        ),
        Whole(name="notices", shape=list[QueueMemory], memory=relay.memory, resume=relay.resume),
    ]


def birth_of(settings: WorldSettings) -> dict[str, Any]:
    """What a world is born with and never changes: another one of these is another world."""
    return {
        "form": FORM,
        "seed": settings.seed,
        "verifier": msgspec.to_builtins(settings.verifier),
        "chain.genesis_height": settings.chain.genesis_height,
        "accounts": msgspec.to_builtins(settings.accounts),
        "takers": sorted(taker.name for taker in settings.takers),
        **({} if settings.pair == Pair() else {"pair": msgspec.to_builtins(settings.pair)}),
    }


def all_rows(world: World) -> Iterator[Row]:
    """Everything, for a new file."""
    yield _WHOLE, "birth", birth_of(world.settings)
    for part in parts_of(world):
        yield from (part.row(key) for key in part.entries)
    yield from (whole.row() for whole in wholes_of(world))


def put_back(world: World, rows: Rows) -> None:
    """Make a newborn world the one that was remembered; raises LookupError, TypeError or ValueError."""
    for part in parts_of(world):
        part.put_back(rows.get(part.name, {}))
    for whole in wholes_of(world):
        whole.put_back(rows[_WHOLE][whole.name])


def remembered(rows: Rows, name: str) -> Any:
    """Give a whole thing as it was written; raises LookupError."""
    return rows[_WHOLE][name]


# -- forms


def _typed(name: str, entries: Kept[Any, Any], shape: Any) -> Part:
    return Part(name=name, entries=entries, write=msgspec.to_builtins, read=lambda body: _converted(body, shape))


def _plain(name: str, entries: Kept[Any, Any], *, to: Callable[[Any], Any], read: Callable[[Any], Any]) -> Part:
    return Part(name=name, entries=entries, write=to, read=read)


def _converted(body: Any, shape: Any) -> Any:
    # Counters are the one shape that is no plain type.
    return msgspec.convert(body, shape, str_keys=True, dec_hook=lambda counter, body: counter(body))


def key_text(key: Any) -> str:
    """Write a key, whose parts are texts, numbers or bytes."""
    return json.dumps(_atoms(key))


def read_key(text: str) -> Any:
    """Read what `key_text` wrote."""
    return _read_atoms(json.loads(text))


def _atoms(value: Any) -> Any:
    """Bytes as an object of their hex, so that they are not taken for text; tuples as lists."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case list() | tuple():
            return [_atoms(item) for item in value]
    return value


def _read_atoms(value: Any) -> Any:
    match value:
        case {"hex": str() as text}:
            return bytes.fromhex(text)
        case list():
            return tuple(_read_atoms(item) for item in value)
    return value


def _versions(body: Any) -> list[Any]:
    return list(_read_atoms(body))


def _block_row(block: Block) -> dict[str, Any]:
    return {
        "height": block.height,
        "hash": block.hash,
        "prev_hash": block.prev_hash,
        "timestamp_ns": block.timestamp_ns,
        "outcomes": [outcome.transaction.tx_hash for outcome in block.outcomes],
    }


def _block(row: Any, outcomes: Kept[str, Outcome]) -> Block:
    held = tuple(outcomes[tx_hash] for tx_hash in row["outcomes"] if tx_hash in outcomes)
    return Block(**{**row, "outcomes": held})


def _settlement_row(settlement: Settlement) -> dict[str, Any]:
    return {
        "tx_hash": settlement.tx_hash,
        "quote_id": settlement.quote_id,
        "offers": [offer.quote_hash for offer in settlement.offers],
        "intent_hashes": list(settlement.intent_hashes),
        "status": settlement.status,
        "error": settlement.error,
    }


def _settlement(row: Any, offers: Kept[str, Offer]) -> Settlement:
    held = tuple(offers[quote_hash] for quote_hash in row["offers"] if quote_hash in offers)
    return Settlement(**{**row, "offers": held, "intent_hashes": tuple(row["intent_hashes"])})
