"""The simulation itself: it repeats, it tells what failed with as little as that needs, and time is virtual."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from simulation import __main__ as program
from simulation.alone import PARTS, alone
from simulation.clock import Deadlock, Pipe, VirtualLoop
from simulation.faults import DRAWN, Fault, plan
from simulation.outages import away_at_once, pairs_told
from simulation.run import Outcome, run
from simulation.scenes import COUNTED, NEEDS_SEEDS, PLANS, SCENES, drawn_by, never_struck, scenes
from simulation.shrink import shrunk
from unrip.frame.crashpoints import CRASH_POINTS
from unrip.services.registry import SERVICES
from unrip_world.faults import read_fault

ROOT = Path(__file__).parents[2]
TOLD = "from simulation.run import run; print(*run(7, seconds=200).trace, sep='\\n')"


def test_a_seed_repeats_exactly_whatever_the_order_of_sets() -> None:
    def told(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        command = [sys.executable, "-c", TOLD]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout

    first = told("1")
    assert "sent: " in first
    assert first == told("2")


def test_a_failing_seed_tells_its_last_events_and_the_faults_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["simulation", "--seeds", "1", "--planted", "lost-update"])
    assert program.main() == 1
    told = capsys.readouterr().out
    assert "1 seeds, 0 virtual minutes" in told
    assert "seed 1 fails: sum: held and open holds differ" in told
    assert "with 0 of its " in told
    assert "VIOLATION" in told
    assert "1 seeds fail: 1" in told


def test_a_seed_that_holds_exits_with_zero(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["simulation", "--seeds", "1", "--first-seed", "3", "--minutes", "3", "--trace"])
    assert program.main() == 0
    told = capsys.readouterr().out
    assert "1 seeds, 3 virtual minutes" in told
    assert "calm" in told


def test_only_the_faults_that_a_violation_needs_are_left() -> None:
    faults = tuple(Fault(at_s=float(number), kind="crash", target=next(iter(SERVICES))) for number in range(20))

    def attempt(chosen: Sequence[Fault]) -> Outcome:
        fails = {3.0, 11.0} <= {fault.at_s for fault in chosen}
        violation = "evidence: gone" if fails else None
        return Outcome(
            seed=1,
            faults=tuple(chosen),
            counts=Counter(),
            struck_with_money=Counter(),
            cpu_s=0.0,
            violation=violation,
            trace=("the last event",),
        )

    assert [fault.at_s for fault in shrunk(attempt(faults), attempt).faults] == [3.0, 11.0]


def test_plans_hold_faults_of_every_boundary_and_repeat() -> None:
    plans = [plan(seed, account="desk.near", until_s=470) for seed in range(200)]
    assert plans == [plan(seed, account="desk.near", until_s=470) for seed in range(200)]
    faults = [fault for each in plans for fault in each]
    kinds = {fault.kind for fault in faults}
    assert {"crash", "crash_at", "crash_within", "broker_away", "database_away", "cut", "half_open"} <= kinds
    assert {"halt", "pause", "disarm", "drain", "cap"} <= kinds
    assert {"lost_ack", "deliver_twice", "stall_topic", "lost_commit", "late_commit", "half_write"} <= kinds
    assert {fault.target for fault in faults if fault.kind == "crash"} == set(SERVICES)
    assert {fault.target for fault in faults if fault.kind == "crash_at"} == CRASH_POINTS
    world = {(body["service"], body["kind"]) for fault in faults if (body := fault.world)}
    ports = {"relay", "rpc", "rpc2", "bridge", "kraken", "coingecko", "chain", "verifier"}
    assert {service for service, _ in world} == ports
    for fault in faults:
        if fault.world:
            read_fault(fault.world, now_ns=0)


def test_every_scene_has_its_turn_in_a_batch_and_waits_for_open_money() -> None:
    for first in (1, 1_000):
        drawn = {name for seed in range(first, first + NEEDS_SEEDS) for name in drawn_by(seed)}
        assert drawn == SCENES.keys()
    assert all(fault.with_money for seed in range(50) for fault in scenes(seed, until_s=470, names=SCENES))
    assert never_struck(Counter(), seeds=NEEDS_SEEDS - 1) == []
    assert set(never_struck(Counter(stall=1, crash=1), seeds=NEEDS_SEEDS)) == {*COUNTED} - {"stall", "crash"}


def test_every_plan_is_drawn_in_a_batch_and_none_beside_those_that_are_known() -> None:
    seeds = range(1, 1 + NEEDS_SEEDS)
    drawn = {fault.plan for seed in seeds for fault in plan(seed, account="desk.near", until_s=470)}
    assert drawn == {*DRAWN}


def test_a_plan_alone_is_drawn_often_and_waits_for_open_money() -> None:
    for name in PLANS:
        for fault in alone(1, [name], account="desk.near", until_s=230):
            assert fault.with_money
            assert fault.plan == name or name in {"revoke", "nonces_spent", "rpc/hasty", "erase_nonces"}


def test_what_is_part_of_a_scene_goes_wrong_where_it_is_named_beside_it() -> None:
    for part, scene in PARTS.items():
        without, beside = (alone(1, names, account="desk.near", until_s=230) for names in ([scene], [part, scene]))
        assert part in COUNTED
        assert {fault.plan for fault in without} == {scene}
        assert [fault for fault in beside if fault.plan != part] == without
        assert {fault.plan for fault in beside} == {scene, part}


def test_a_scene_strikes_while_money_is_open_and_a_process_that_stands_still_goes_on() -> None:
    stall = Fault(at_s=20, kind="stall", target="trade-executor", for_s=3.0, with_money=True)
    over = Fault(at_s=40, kind="hand_over", target="trade-executor", for_s=4.0, with_money=True)
    outcome = run(1, faults=(stall, over), seconds=180)
    assert outcome.violation is None
    assert outcome.struck_with_money == {"stall": 1, "hand_over": 1}
    told = [line.partition(" s  ")[2] for line in outcome.trace]
    assert "trade-executor starts, life 2" in told
    ended = [line for line in told if line.startswith("trade-executor-1 ")]
    assert len(ended) == 1, "the one that slept ends, by its own finding or by being stopped"


def test_an_operator_caps_a_trade_and_drains_a_service_which_starts_again() -> None:
    cap = Fault(at_s=60, kind="cap", target="strategy-engine", amount=15)
    drain = Fault(at_s=65, kind="drain", target="trade-executor")
    outcome = run(1, faults=(cap, drain), seconds=180)
    told = [line.partition(" s  ")[2] for line in outcome.trace]
    assert outcome.violation is None
    assert "operator: limits strategy-engine: done, kept" in told
    drained = told.index("trade-executor-1 is drained and stopped")
    assert told.index("operator: drain trade-executor: done") < drained < told.index("trade-executor starts, life 2")


def test_a_service_that_dies_when_the_broker_goes_away_keeps_nobody_else_from_hearing_of_it() -> None:
    dies = Fault(at_s=60, kind="crash_within", target="near-intents-ingest", amount=0)
    away = Fault(at_s=60, kind="broker_away", for_s=2)
    outcome = run(1, faults=(dies, away), seconds=180)
    told = [line.partition(" s  ")[2] for line in outcome.trace]
    assert outcome.violation is None
    assert any(line.startswith("near-intents-ingest-1 is killed before") for line in told)
    assert f"over:  {away}" in told


def test_what_is_due_at_one_instant_happens_in_the_order_in_which_it_was_asked_for() -> None:
    loop = VirtualLoop()
    happened: list[int] = []
    timers = [loop.call_at(5, happened.append, number) for number in range(50)]
    timers[7].cancel()
    loop.call_at(3, timers[9].cancel)
    loop.run_until_complete(asyncio.sleep(5))
    assert happened == [number for number in range(50) if number not in {7, 9}]
    loop.close()


def test_time_jumps_to_what_is_due_and_nothing_overtakes_in_a_pipe() -> None:
    loop = VirtualLoop()
    arrived: list[object] = []
    chance = Random(1)  # noqa: S311 - the same every time
    pipe = Pipe(loop, lambda: chance.uniform(0, 5))
    for number in range(50):
        pipe.put(arrived.append, number)
    loop.run_until_complete(asyncio.sleep(3600))
    assert arrived == list(range(50))
    assert 3600 <= loop.time() < 3601
    pipe.put(arrived.append, "late")
    pipe.close()
    loop.run_until_complete(asyncio.sleep(10))
    assert arrived[-1] == 49
    with pytest.raises(Deadlock):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_the_pairs_of_dependencies_that_are_away_at_once() -> None:
    kraken = Fault(at_s=10, kind="world", world={"service": "kraken", "kind": "down", "for_s": 5})
    slow = Fault(at_s=10, kind="world", world={"service": "relay", "kind": "slow_ms", "ms": 50, "for_s": 50})
    database = Fault(at_s=14, kind="database_away", for_s=10)
    broker = Fault(at_s=15, kind="broker_away", for_s=1)
    assert away_at_once([kraken, slow, database, broker]) == {("postgres", "kraken"), ("postgres", "kafka")}
    assert pairs_told([[kraken, database]]) == "dependencies away at once: 1 of 21 pairs"
    forty = [plan(seed, account="desk.near", until_s=470) for seed in range(1, 41)]
    assert pairs_told(forty).startswith("dependencies away at once: 18 of 21 pairs; never postgres with relay, ")
    thousand = (plan(seed, account="desk.near", until_s=470) for seed in range(1, 1_001))
    assert pairs_told(thousand) == "dependencies away at once: 21 of 21 pairs"
