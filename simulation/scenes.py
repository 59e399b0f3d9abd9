"""Scenes: faults of one class each, which begin while money is open; the plan of a seed has two of them.

Which ones follows from the seed's number, so that a batch of `NEEDS_SEEDS` in a row has every scene. In such a batch
each of them, and each plan of `faults.py`, must have struck while money was open (an offer alive, or a hold open), or
the batch fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from simulation.faults import DRAWN, Fault
from unrip.messages.topics import (
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    MARKET_PRICE,
    SERVICE_STATUS,
    SWAP_DEMAND,
    TRADE_DECISION,
    TRADE_RESULT,
)
from unrip_world.assets import BTC, EURE

#: Seeds in a row of which every scene has had its turn several times.
NEEDS_SEEDS = 40
#: A scene begins at the first moment with open money from here on, and early enough to be seen through.
_FROM_S, _ROOM_S = 30.0, 60.0
#: Services of which one instance works at a time.
_ROLES = ("strategy-engine", "trade-executor", "history-writer")
#: Up to half of each balance, so that what is promised may no longer be there.
_MOVES = ((BTC, "btc:mainnet", 60_000), (EURE, "eth:100", 60 * 10**18))

#: Topics that may lose records.
_LOSABLE = (SWAP_DEMAND, TRADE_DECISION, EXECUTE_TRADE, TRADE_RESULT, INTENT_INVENTORY, MARKET_PRICE, SERVICE_STATUS)

#: Within the time that an answer has, or long enough for others to think that the process is gone.
_STALLS_S = ((0.3, 3.0), (3.0, 25.0))

Make = Callable[[Random, float], list[Fault]]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One class of faults."""

    #: A sentence for docs/simulation.md.
    says: str
    make: Make
    #: Settings of the desk that a seed with this scene has.
    settings: tuple[tuple[str, Any], ...] = ()


def _once(kind: str, at_s: float, **fields: Any) -> Fault:
    return Fault(at_s=at_s, kind=kind, with_money=True, **fields)


def _of_the_world(at_s: float, **body: Any) -> Fault:
    return _once("world", at_s, world=body)


def _stalls(chance: Random, at_s: float) -> list[Fault]:
    """Half of the executor's stand between a claim and its answer."""
    target, claim = chance.choice(
        (("trade-executor", 1.0), ("trade-executor", 0.0), ("strategy-engine", 0.0), ("inventory-sync", 0.0))
    )
    for_s = round(chance.uniform(*chance.choice(_STALLS_S)), 3)
    return [_once("stall", at_s, target=target, amount=claim, for_s=for_s)]


def _hands_over(chance: Random, at_s: float) -> list[Fault]:
    return [_once("hand_over", at_s, target=chance.choice(_ROLES), for_s=round(chance.uniform(2, 20), 3))]


def _refuses(kind: str) -> Make:
    return lambda chance, at_s: [_once(kind, at_s, for_s=round(chance.uniform(2, 15), 3))]


def _deposits(chance: Random, at_s: float) -> list[Fault]:
    _token, chain, most = chance.choice(_MOVES)
    amount = float(chance.randint(most // 4, most))
    steps = [_of_the_world(at_s, service="bridge", kind="credit_in_steps", for_s=20)] if chance.random() < 0.5 else []
    return [*steps, _once("deposit", at_s, target=chain, amount=amount, for_s=round(chance.uniform(1, 20), 3))]


def _withdraws(chance: Random, at_s: float) -> list[Fault]:
    token, _chain, most = chance.choice(_MOVES)
    return [_once("withdrawal", at_s, target=token, amount=float(chance.randint(most // 4, most)))]


def _withdraws_by_the_bridge(chance: Random, at_s: float) -> list[Fault]:
    token, _chain, most = chance.choice(_MOVES)
    status = chance.choice(("COMPLETED", "COMPLETED", "FAILED", "RETURNED"))
    ends = _of_the_world(at_s, service="bridge", kind="end_withdrawals", status=status, for_s=60)
    return [ends, _once("bridge_withdrawal", at_s, target=token, amount=float(chance.randint(most // 4, most)))]


def _spoils_files(chance: Random, at_s: float) -> list[Fault]:
    for_s = round(chance.uniform(2, 15), 3)
    return [_once("files", at_s, target=chance.choice(("lost", "cut", "full")), for_s=for_s)]


def _spends(chance: Random, at_s: float) -> list[Fault]:
    deaf = _of_the_world(at_s, service="relay", kind="drop_status", for_s=round(chance.uniform(1, 15), 3))
    return [_once("nonces_spent", at_s), *([deaf] if chance.random() < 0.5 else [])]


def _loses_notices(chance: Random, at_s: float) -> list[Fault]:
    return [_of_the_world(at_s, service="relay", kind="drop_status", for_s=round(chance.uniform(10, 40), 3))]


def _lies(kind: str, make: Callable[[Random], dict[str, Any]]) -> Make:
    """One of two nodes lies, the other does not."""

    def made(chance: Random, at_s: float) -> list[Fault]:
        for_s = round(chance.uniform(5, 25), 3)
        return [_of_the_world(at_s, service=chance.choice(("rpc", "rpc2")), kind=kind, for_s=for_s, **make(chance))]

    return made


def _tells_hastily(chance: Random, at_s: float) -> list[Fault]:
    """What it tells is taken back by the chain, and then another tool uses the nonce."""
    for_s = round(chance.uniform(12, 25), 3)
    hasty = _of_the_world(at_s, service=chance.choice(("rpc", "rpc2")), kind="hasty", for_s=for_s)
    reverted = [
        _of_the_world(at_s + after_s, service="chain", kind="reorg", blocks=3, requeue=False)
        for after_s in (2.0, 4.5, 7.0, 9.5)
    ]
    return [hasty, *reverted, _once("nonces_spent", at_s + 11)]


def _clock(chance: Random, at_s: float) -> list[Fault]:
    target = chance.choice(("trade-executor", "trade-executor", "inventory-sync", "history-writer"))
    off_s = round(chance.choice((-1, 1)) * chance.uniform(0.5, 30), 3)
    return [_once("clock_off", at_s, target=target, amount=off_s, for_s=round(chance.uniform(5, 30), 3))]


def _loses(kind: str) -> Make:
    def made(chance: Random, at_s: float) -> list[Fault]:
        lost = float(chance.randint(1, 6)) if kind == "topic_cut" else 0.0
        return [_once(kind, at_s, target=chance.choice(_LOSABLE).name, amount=lost)]

    return made


def _goes_back(chance: Random, at_s: float) -> list[Fault]:
    return [_once("older_copy", at_s, for_s=round(chance.uniform(1, 30), 3))]


_TWO_NODES = (("rpc_cross_check", True),)

SCENES: dict[str, Scene] = {
    "stall": Scene(
        says="a process stands still between two steps, or a claim and its answer, and goes on as if nothing were",
        make=_stalls,
    ),
    "hand_over": Scene(
        says="the lock's session breaks while its holder stands still: a standby takes over, the old one wakes later",
        make=_hands_over,
    ),
    "database_read_only": Scene(
        says="PostgreSQL answers questions and refuses every write", make=_refuses("database_read_only")
    ),
    "refused_record": Scene(
        says="the broker hands out records and refuses most new ones", make=_refuses("refused_record")
    ),
    "deposit": Scene(says="a deposit arrives and is minted, told in one step or in two", make=_deposits),
    "withdrawal": Scene(says="the owner takes money out past the desk, also money that is promised", make=_withdraws),
    "bridge_withdrawal": Scene(
        says="the owner takes money out through the bridge, which pays it, fails, or gives it back",
        make=_withdraws_by_the_bridge,
    ),
    "nonces_spent": Scene(
        says="another tool of the owner uses the nonces of all live answers, with or without a notice", make=_spends
    ),
    "relay/drop_status": Scene(says="nobody tells of the nonces that are used meanwhile", make=_loses_notices),
    "rpc/timestamp_skew_ms": Scene(
        says="one of two nodes shifts the times of all blocks",
        make=_lies("timestamp_skew_ms", lambda chance: {"ms": chance.choice((-1, 1)) * chance.randint(500, 120_000)}),
        settings=_TWO_NODES,
    ),
    "rpc/height_shift": Scene(
        says="one of two nodes shifts all heights",
        make=_lies("height_shift", lambda chance: {"by": chance.choice((-1, 1)) * chance.randint(1, 2_000)}),
        settings=_TWO_NODES,
    ),
    "rpc/false_view": Scene(
        says="one of two nodes tells every nonce as used, or as unused",
        make=_lies(
            "false_view", lambda chance: {"method": "is_nonce_used", "result": chance.choice(("true", "false"))}
        ),
        settings=_TWO_NODES,
    ),
    "rpc/hasty": Scene(
        says="one of two nodes tells a transaction's outcome before its block is final, and blocks are reverted",
        make=_tells_hastily,
        settings=_TWO_NODES,
    ),
    "topic_lost": Scene(says="a topic is made anew, and what it held is gone", make=_loses("topic_lost")),
    "topic_cut": Scene(
        says="a topic loses its newest records, which the broker had acknowledged", make=_loses("topic_cut")
    ),
    "older_copy": Scene(
        says="the database goes back to an older copy of itself under the running desk", make=_goes_back
    ),
    "clock_off": Scene(says="the clock of one process jumps, and jumps back", make=_clock),
    "files": Scene(
        says="the files of all processes, spools and leases, are lost, cut off, or cannot be opened for a while",
        make=_spoils_files,
    ),
}

#: Everything that can go wrong by itself, and what goes wrong beside it: all of it does in the seeds of a batch.
PLANS = tuple(dict.fromkeys((*SCENES, *DRAWN)))
COUNTED = (*PLANS, "bridge/credit_in_steps", "bridge/end_withdrawals")


def drawn_by(seed: int) -> list[str]:
    """The two scenes of a seed."""
    names = list(SCENES)
    first = seed % len(names)
    second = (seed + 1 + seed // len(names)) % len(names)
    return [names[first]] if first == second else [names[first], names[second]]


def scenes(seed: int, *, until_s: float, names: Iterable[str] | None = None) -> list[Fault]:
    """The faults of a seed's scenes, or of these."""
    found: list[Fault] = []
    for name in drawn_by(seed) if names is None else names:
        chance = Random(f"{seed}/scene/{name}")
        found += SCENES[name].make(chance, chance.uniform(_FROM_S, max(_FROM_S, until_s - _ROOM_S)))
    return found


def settings_of(faults: Iterable[Fault]) -> dict[str, Any]:
    """The settings that the scenes of a plan need."""
    return dict(pair for fault in faults if fault.plan in SCENES for pair in SCENES[fault.plan].settings)


def never_struck(struck: Counter[str], *, seeds: int) -> list[str]:
    """The plans that struck in no seed of a batch while money was open; a small batch need not have all."""
    return [name for name in COUNTED if not struck[name]] if seeds >= NEEDS_SEEDS else []
