"""What goes wrong, as data: a plan is a list of faults with their times, made from a seed, shrunk by leaving out.

A window is a fault that lasts: while it is open, a boundary asks whether it strikes. The others happen once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from unrip.frame.crashpoints import CRASH_POINTS
from unrip.messages.topics import (
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    MARKET_PRICE,
    SERVICE_STATUS,
    SWAP_DEMAND,
    TRADE_RESULT,
)
from unrip.services.registry import SERVICES
from unrip_world.assets import BTC, EURE
from unrip_world.faults import NODES

#: Share of the occasions at which an open window strikes.
WINDOWS = {
    "lost_ack": 0.5,
    "deliver_twice": 0.5,
    "lost_request": 0.3,
    "lost_commit": 0.4,
    "late_commit": 0.2,
    "half_write": 0.5,
    "lost_question": 0.4,
    "lost_answer": 0.4,
    "refused_record": 0.8,
}
#: Of the seeds, this part has a time in which the chain can tell nothing.
_BLIND_SHARE = 0.5
#: Without room for it before the end there is none.
_BLIND_NEEDS_S = 150.0
#: Of the seeds, this part pulls the kill switch once, and of those this part dies while it is under way.
_REVOKE_SHARE, _CRASH_SHARE = 0.5, 0.5
_CRASHES = ("crash", "crash_at", "crash_within")
_OUTAGES = ("broker_away", "database_away", "cut", "half_open")
_SWITCHES = ("halt", "pause", "disarm")
#: Windows that scenes open, and no plan does.
_OF_SCENES = frozenset({"refused_record"})
_STALLED = (SWAP_DEMAND, EXECUTE_TRADE, TRADE_RESULT, MARKET_PRICE, INTENT_INVENTORY, SERVICE_STATUS)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    at_s: float
    kind: str
    #: How long it lasts; 0 for what happens once.
    for_s: float = 0.0
    #: The service, topic or crash point that it is about.
    target: str = ""
    #: Effects before a crash, EUR of a cap, seconds of a clock, units of a token; 1 for a stall right after a claim.
    amount: float = 0.0
    #: The body of a fault of the world, as in its scripts.
    world: Mapping[str, Any] = field(default_factory=dict)
    #: It waits for the first moment at which money is open: an offer lives, or a hold is open.
    with_money: bool = False

    @property
    def plan(self) -> str:
        """The name of its class, under which strikes are counted; the two nodes are one port."""
        if self.kind != "world":
            return self.kind
        service = str(self.world.get("service", "verifier"))
        return f"{'rpc' if service == 'rpc2' else service}/{self.world['kind']}"

    def __str__(self) -> str:
        lasts = f" for {self.for_s:.2f} s" if self.for_s else ""
        amount = f" {self.amount:g}" if self.amount else ""
        body = " ".join(str(value) for value in self.world.values())
        what = " ".join(word for word in (self.kind, self.target, body) if word)
        return f"{self.at_s:8.3f} s  {what}{amount}{lasts}"


class Faults:
    """The windows that are open now."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._open: list[Fault] = []
        #: How often each kind struck.
        self.struck: dict[str, int] = {}
        #: How often each plan struck while money was open.
        self.struck_with_money: Counter[str] = Counter()
        #: Whether money is open now.
        self.money_open: Callable[[], bool] = lambda: False

    def begin(self, fault: Fault) -> None:
        """Open a window."""
        self._open.append(fault)

    def end(self, fault: Fault) -> None:
        """Close it."""
        self._open.remove(fault)

    def strikes(self, kind: str) -> bool:
        """Whether a window of this kind is open and strikes now."""
        if not any(fault.kind == kind for fault in self._open) or self._chance.random() >= WINDOWS[kind]:
            return False
        self.struck[kind] = self.struck.get(kind, 0) + 1
        self.struck_with_money[kind] += self.money_open()
        return True

    def parameter(self, kind: str, target: str) -> float:
        """The amount of an open fault about a target, 0 without one."""
        return max((each.amount for each in self._open if each.kind == kind and each.target == target), default=0.0)


def plan(seed: int, *, account: str, until_s: float) -> list[Fault]:
    """The faults of a seed, in order of time: singly, and a third of them in pairs."""
    chance = Random(f"{seed}/plan")
    busy = chance.choice((8.0, 14.0, 25.0))
    faults: list[Fault] = []
    now_s = 12.0
    while (now_s := now_s + chance.expovariate(1 / busy)) < until_s:
        faults.append(_any(chance, at_s=now_s, account=account))
        if chance.random() < 0.35:
            faults.append(_any(chance, at_s=now_s + chance.uniform(0, 3), account=account))
    if chance.random() < _BLIND_SHARE and until_s > _BLIND_NEEDS_S:
        faults += _blind(chance, chance.uniform(20, until_s - 100))
    killing = Random(f"{seed}/revoke")
    if killing.random() < _REVOKE_SHARE:
        faults += _revoke(killing, killing.uniform(20, until_s))
    return sorted(faults, key=lambda fault: fault.at_s)


def drawn(name: str, chance: Random, at_s: float, *, account: str) -> list[Fault]:
    """A fault of one plan, as the plan of a seed may have it.

    With the kill switch may come a death in the middle; used nonces are forgotten while the chain can tell nothing.
    """
    if name == "revoke":
        return _revoke(chance, at_s)
    if name == "erase_nonces":
        return _blind(chance, at_s)
    while (fault := _any(chance, at_s=at_s, account=account)).plan != name:
        pass
    return [fault]


def _blind(chance: Random, at_s: float) -> list[Fault]:
    """Nobody tells of settlements, nobody can ask, and meanwhile the contract forgets the used nonces."""
    for_s = round(chance.uniform(60, 120), 3)
    deaf = {"service": "relay", "kind": "drop_status", "for_s": for_s}
    mute = [{"service": node, "kind": "down", "for_s": for_s} for node in NODES]
    erased = [Fault(at_s=at_s + for_s - before_s, kind="erase_nonces") for before_s in (3.0, 0.5)]
    return [Fault(at_s=at_s, kind="world", world=body) for body in (deaf, *mute)] + erased


def _revoke(chance: Random, at_s: float) -> list[Fault]:
    """The kill switch, and perhaps a death in the middle of it."""
    revoke = Fault(at_s=at_s, kind="revoke", target="trade-executor")
    crash = Fault(at_s=at_s - 1, kind="crash_at", target="executor.revoked")
    return [revoke, crash] if chance.random() < _CRASH_SHARE else [revoke]


def _any(chance: Random, *, at_s: float, account: str) -> Fault:
    makers: Sequence[tuple[Callable[..., Fault], int]] = (
        (_crash, 5),
        (_window, 6),
        (_outage, 4),
        (_operator, 2),
        (_of_the_world, 9),
    )
    (maker,) = chance.choices([maker for maker, _ in makers], [weight for _, weight in makers])
    return maker(chance, at_s=at_s, account=account)


def _crash(chance: Random, *, at_s: float, account: str) -> Fault:
    del account
    kind = chance.choice(_CRASHES)
    if kind == "crash_at":
        return Fault(at_s=at_s, kind=kind, target=chance.choice(sorted(CRASH_POINTS)))
    service = chance.choice((*SERVICES, "strategy-engine", "trade-executor", "trade-executor", "trade-executor"))
    return Fault(at_s=at_s, kind=kind, target=service, amount=float(chance.randint(1, 12)) if kind != "crash" else 0.0)


_DRAWN_WINDOWS = tuple(sorted(WINDOWS.keys() - _OF_SCENES))


def _window(chance: Random, *, at_s: float, account: str) -> Fault:
    del account
    if chance.random() < 0.25:
        topic = chance.choice(_STALLED).name
        return _lasting(chance, at_s, "stall_topic", target=topic, amount=round(chance.uniform(0.05, 4), 3))
    return _lasting(chance, at_s, chance.choice(_DRAWN_WINDOWS))


def _outage(chance: Random, *, at_s: float, account: str) -> Fault:
    del account
    kind = chance.choice(_OUTAGES)
    target = chance.choice(("near-intents-ingest", "trade-executor", "trade-executor", "market-reference-ingest"))
    if kind == "cut":
        return Fault(at_s=at_s, kind=kind, target=target)
    return _lasting(chance, at_s, kind, target=target if kind == "half_open" else "")


def _operator(chance: Random, *, at_s: float, account: str) -> Fault:
    del account
    kind = chance.choice((*_SWITCHES, "drain", "drain", "cap"))
    if kind == "drain":
        return Fault(at_s=at_s, kind=kind, target=chance.choice(tuple(SERVICES)))
    if kind == "cap":
        return Fault(at_s=at_s, kind=kind, target="strategy-engine", amount=chance.choice((15.0, 20.0, 60.0)))
    return Fault(at_s=at_s, kind=kind, target=chance.choice(("strategy-engine", "trade-executor")))


def _lasting(chance: Random, at_s: float, kind: str, **fields: Any) -> Fault:
    return Fault(at_s=at_s, kind=kind, for_s=round(min(40.0, chance.lognormvariate(1.5, 0.9)), 3), **fields)


def _of_the_world(chance: Random, *, at_s: float, account: str) -> Fault:
    """One of the world's own faults, for a time where it lasts."""
    body = chance.choice(_bodies(chance, account))
    if body.get("kind") == "erase_nonces":
        return Fault(at_s=at_s, kind="erase_nonces")
    if "for_s" in body:
        body["for_s"] = round(min(60.0, chance.lognormvariate(2.0, 0.9)), 3)
    return Fault(at_s=at_s, kind="world", world=body)


def _bodies(chance: Random, account: str) -> list[dict[str, Any]]:
    lasting: list[dict[str, Any]] = [
        *(
            {"service": name, "kind": kind}
            for name in ("relay", "rpc", "bridge", "kraken", "coingecko")
            for kind in ("down", "mute")
        ),
        {"service": "relay", "kind": "slow_ms", "ms": chance.randint(50, 3_000)},
        {"service": "relay", "kind": "refuse_handshake", "status": 503},
        {"service": "relay", "kind": "refuse_answers"},
        {"service": "relay", "kind": "refuse_answers", "message": "invalid salt"},
        {"service": "relay", "kind": "lose_replies"},
        {"service": "relay", "kind": "lose_replies"},
        {"service": "relay", "kind": "duplicate_status"},
        {"service": "relay", "kind": "drop_status"},
        {"service": "relay", "kind": "drop_status"},
        {"service": "relay", "kind": "delay_status_ms", "ms": chance.randint(500, 20_000)},
        {"service": "relay", "kind": "wrong_status_tx", "also_right": chance.random() < 0.5},
        {"service": "relay", "kind": "withhold_settlement"},
        {"service": "relay", "kind": "stranger", "after_ms": chance.randint(0, 70_000)},
        {"service": "rpc", "kind": "slow_ms", "ms": chance.randint(50, 9_000)},
        {"service": "rpc", "kind": "lag_blocks", "blocks": chance.randint(1, 60)},
        {"service": "rpc", "kind": "lag_blocks", "blocks": chance.randint(1, 200)},
        {"service": "kraken", "kind": "freeze"},
        {"service": "kraken", "kind": "system_status"},
        {"service": "kraken", "kind": "timestamp_skew_ms", "ms": chance.randint(-20_000, 2_000)},
        {"service": "kraken", "kind": "crossed"},
        {"service": "coingecko", "kind": "freeze"},
        {"service": "coingecko", "kind": "price_factor", "factor": f"{chance.uniform(0.9, 1.1):.3f}"},
        {"service": "coingecko", "kind": "eure_price", "price": f"{chance.uniform(0.9, 1.05):.3f}"},
        {"service": "verifier", "kind": "pause"},
        {"service": "verifier", "kind": "lock", "account_id": account},
    ]
    once: list[dict[str, Any]] = [
        {"service": "relay", "kind": "disconnect"},
        {"service": "relay", "kind": "malformed_frame", "text": "{"},
        {"service": "relay", "kind": "false_status"},
        {"service": "relay", "kind": "false_status"},
        {"service": "relay", "kind": "leak"},
        {"service": "relay", "kind": "leak"},
        {"service": "kraken", "kind": "disconnect"},
        {"service": "kraken", "kind": "price", "mid": str(chance.randint(60_000, 80_000))},
        {"service": "chain", "kind": "reorg", "blocks": chance.randint(1, 3), "requeue": chance.random() < 0.5},
        {"service": "verifier", "kind": "rotate_salt", "invalidate": chance.random() < 0.3},
        {"service": "verifier", "kind": "set_fee", "pips": chance.randint(0, 50)},
        {"kind": "erase_nonces"},
        {"kind": "erase_nonces"},
        {
            "service": "verifier",
            "kind": "gift",
            "account_id": account,
            "token_id": chance.choice((BTC, EURE)),
            "amount": 1,
        },
    ]
    return [*({**body, "for_s": 0} for body in lasting), *once]


#: The plan of every fault that the plan of some seed has.
DRAWN = (
    *_CRASHES,
    *_DRAWN_WINDOWS,
    "stall_topic",
    *_OUTAGES,
    *_SWITCHES,
    "drain",
    "cap",
    "revoke",
    "erase_nonces",
    *dict.fromkeys(
        Fault(at_s=0, kind="world", world=body).plan for body in _bodies(Random(0), "") if "service" in body
    ),
)
