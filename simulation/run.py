"""One seed: ten virtual minutes of trading with faults, time to heal, and the last questions."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from simulation.desk import ACCOUNT, Desk
from simulation.faults import Fault, plan
from simulation.scenes import scenes, settings_of
from simulation.stores import done
from simulation.violation import Violation
from unrip.domain.attempt import Offer
from unrip.domain.market import MarketPrice
from unrip.messages.topics import DEAD_LETTER, MARKET_PRICE, SERVICE_STATUS, SWAP_DEMAND, TOPICS, TRADE_RESULT
from unrip.store.memory_ledger import MemoryLedger
from unrip_world.config import ChainSettings, MarketSettings, RelaySettings, TakerSettings, VerifierSettings
from unrip_world.verifier.state import SALTS

RUN_S = 600.0
#: The end of a run: nothing new goes wrong, nobody asks, and every offer's life ends.
_CALM_S = 100.0
#: Before that the last faults that last are over.
NO_FAULT_S = 130.0
#: Service to the source that it listens to by a socket.
_LISTENS = {"near-intents-ingest": "relay", "trade-executor": "relay", "market-reference-ingest": "kraken"}
#: The slowest source is asked once a minute.
_READ_WITHIN = timedelta(seconds=90)
#: Objects after which the collector looks for garbage: a run makes millions, and next to none in circles.
_GARBAGE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one seed came to."""

    seed: int
    faults: tuple[Fault, ...]
    counts: Counter[str]
    cpu_s: float
    #: How often each plan struck while money was open.
    struck_with_money: Counter[str]
    #: The broken invariant, None when all held.
    violation: str | None
    trace: tuple[str, ...]


def run(
    seed: int,
    *,
    faults: Sequence[Fault] | None = None,
    seconds: float = RUN_S,
    make_ledger: Callable[..., MemoryLedger] = MemoryLedger,
) -> Outcome:
    """Run a seed with its own faults, or with these."""
    chosen = faults_of(seed, seconds=seconds) if faults is None else tuple(faults)
    gc.set_threshold(_GARBAGE)
    started_s = time.process_time()
    world, settings = _surroundings(seed)
    settings["near_intents"] |= settings_of(chosen)
    with Desk(seed=seed, faults=chosen, world=world, settings=settings, make_ledger=make_ledger) as desk:
        violation = None
        try:
            desk.run(seconds - _CALM_S)
            desk.calm()
            desk.run(_CALM_S)
            at_the_end(desk)
        except Violation as broken:
            violation = str(broken)
        return Outcome(
            seed=seed,
            faults=chosen,
            counts=_counted(desk),
            struck_with_money=desk.faults.struck_with_money,
            cpu_s=time.process_time() - started_s,
            violation=violation,
            trace=tuple(desk.trace),
        )


def faults_of(seed: int, *, seconds: float, names: Iterable[str] | None = None) -> tuple[Fault, ...]:
    """The plan of a seed with its own scenes, or with these."""
    until_s = seconds - NO_FAULT_S
    return (*plan(seed, account=ACCOUNT, until_s=until_s), *scenes(seed, until_s=until_s, names=names))


def _surroundings(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A world and settings of the seed: whatever the venue may be like, and offers that live shorter than usual."""
    chance = Random(f"{seed}/surroundings")
    lives_ms = chance.choice((10_000, 20_000, 60_000))

    def taker(name: str, direction: Any, limit_pct: str) -> TakerSettings:
        return TakerSettings(
            name=name,
            direction=direction,
            every_s=Decimal(chance.choice(("4", "8", "12"))),
            median_eur=Decimal(15),
            sigma=Decimal("0.4"),
            max_eur=Decimal(26),
            limit_pct=Decimal(limit_pct),
            min_deadline_ms=lives_ms,
        )

    world = {
        "seed": seed,
        "takers": (
            taker("alice", "btc_to_eure", "4"),
            taker("bob", "eure_to_btc", "4"),
            taker("carol", chance.choice(("btc_to_eure", "eure_to_btc")), "0"),
        ),
        "relay": RelaySettings(
            envelope=chance.choice(("nested", "flat")),
            error_form=chance.choice(("object", "text")),
            guaranteed_delivery=chance.random() < 0.8,
            status_at=chance.choice(("optimistic", "final")),
            check_balance=chance.random() < 0.3,
        ),
        "chain": ChainSettings(structured_view_errors=chance.random() < 0.5),
        "market": MarketSettings(tick_ms=1_000),
        "verifier": VerifierSettings(fee_pips=chance.choice((0, 1, 10))),
    }
    settings = {
        "near_intents": {"instance_id": "desk-1" if chance.random() < 0.6 else None},
        "intervals": {"inventory_ms": 2_500, "executor_read_ms": 2_500},
        # The judge asks for what the strategy's limits allow; the executor's own caps are other tests' business.
        "spending": {"base_per_minute": "1", "base_open": "1", "quote_per_minute": "90000", "quote_open": "90000"},
        "limits": {
            # Some nonces outlive their offers by little, so that what the contract forgets can matter within the run.
            "nonce_life_ms": chance.choice((15_000, 15_000, 86_400_000)),
            "deadline_max_ms": lives_ms,
            "sharing_bucket_ms": chance.choice((10_000, 60_000, 600_000)),
            # Offers share nonces soon, or nearly never, so that they compete for what there is.
            "held_share": chance.choice(("50 %", "100 %")),
        },
    }
    return world, settings


# --- the last questions -----------------------------------------------------------------------------------------------


def at_the_end(desk: Desk) -> None:
    """Everything has healed, everybody is calm, and every offer's life is over: nothing may be left open or lost."""
    judged = desk.invariants
    for service, process in desk.processes.items():
        if not process.alive or process.host.not_ready():
            raise Violation(f"recovery: {service} has not recovered: {process.host.not_ready()}")
    _everybody_listens(desk)
    undecided = {event.payload.quote_id for event in desk.records(SWAP_DEMAND)} - judged.decisions.keys()
    undecided -= judged.lost_subjects
    if undecided:
        raise Violation(f"class: demands without a decision: {sorted(undecided)}")
    accepted = {decision.command.command_id for decision in judged.decisions.values() if decision.command is not None}
    if without := accepted - judged.commands.keys() - judged.lost_subjects:
        raise Violation(f"class: accepted decisions without a command: {sorted(without)}")
    state = done(desk.database.ledger.load(ACCOUNT))
    still_open = {offer.command_id: offer for offer in state.open_offers}
    lost = judged.commands.keys() - judged.ends.keys() - still_open.keys() - judged.lost_subjects
    if lost:
        raise Violation(f"class: commands without an end: {sorted(lost)}")
    for offer in still_open.values():
        if not _may_stay_open(desk, offer):
            raise Violation(f"class: command {offer.command_id} is still open: nothing stands against its end")
    _everything_is_in_the_history(desk)
    _nothing_is_missing(desk)


def _may_stay_open(desk: Desk, offer: Offer) -> bool:
    """What the chain can no longer tell stays unknown: an invalid salt, or a nonce that was erased unseen."""
    head = desk.world.chain.head
    salts_valid = desk.world.verifier.storage.at(head.height).get(SALTS, bytes.fromhex(offer.salt), False)
    return not salts_valid or desk.loop.now > offer.nonce_deadline


def _everybody_listens(desk: Desk) -> None:
    """Whoever listens to a socket has one, and both sources of prices were read lately."""
    for service, source in _LISTENS.items():
        lines = desk.network.lines_of(desk.processes[service].start_id)
        if not any(line.service == source for line in lines):
            raise Violation(f"recovery: {service} does not listen to {source}")
    price: MarketPrice = desk.records(MARKET_PRICE)[-1].payload
    for source, reading in (("Kraken", price.primary), ("CoinGecko", price.second_opinion)):
        if reading is None or desk.loop.now - reading.observed_at > _READ_WITHIN:
            raise Violation(f"recovery: {source} has not been read lately")


def _nothing_is_missing(desk: Desk) -> None:
    """Everything that left has its evidence, unless a topic or the database lost that."""
    judged, inventory = desk.invariants, desk.invariants.told.last_inventory
    if inventory is None or judged.lost or judged.told_again:
        return
    for asset in inventory.credited:
        rest = inventory.unexplained(asset) or 0
        if rest < 0:
            raise Violation(f"moved: {-rest} of {asset} are told to be missing, and nothing is")


def _everything_is_in_the_history(desk: Desk) -> None:
    history = desk.database.history
    told_again = {TRADE_RESULT.name} if desk.invariants.told_again else set()
    if conflicts := [place for place in history.conflicts if place[0] not in told_again]:
        raise Violation(f"history: records of one id that differ: {sorted(conflicts)}")
    for topic in set(TOPICS.values()) - {SERVICE_STATUS, DEAD_LETTER}:
        missing = {event.event_id for event in desk.records(topic)} - history.rows.get(topic.name, {}).keys()
        # What was produced just now may still be on its way.
        if len(missing) > 5:
            raise Violation(f"history: {len(missing)} records of {topic.name} are not in the history")


def _counted(desk: Desk) -> Counter[str]:
    judged = desk.invariants
    counts = Counter(desk.counts)
    counts["quotes"] = len(desk.world.relay.auctions)
    counts["virtual_s"] = int(desk.loop.time())
    counts["offers"] = judged.submissions
    counts["settled"] = sum(end == "settled" for end in judged.ends.values())
    counts["strikes"] = sum(desk.faults.struck.values())
    counts.update(f"ended {state}" for state in judged.ends.values())
    return counts
