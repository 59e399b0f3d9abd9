"""Frame in to signed frame out, as the simulated world's relay sees it, per stage, with memory and CPU per process.

make bench            # 600 quotes at ten a second; prints percentiles and one table
"""

import argparse
import os
import statistics
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]

from support.desk import Desk, running_desk

STAGES = ("received", "decided", "decision_acknowledged", "command_received", "signed", "claimed", "sent")
DEMANDS = (
    {"direction": "btc_to_eure", "amount_in": "3000"},
    {"direction": "eure_to_btc", "amount_in": "2100000000000000000"},
)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def ask(desk: Desk, count: int, per_s: float) -> list[str]:
    """Publish demands at a steady rate; gives their quote ids."""
    quote_ids = []
    began = time.monotonic()
    for number in range(count):
        quote_ids.append(desk.world.demand(**DEMANDS[number % 2], min_wait_ms=600, max_wait_ms=1_200))
        time.sleep(max(0.0, began + (number + 1) / per_s - time.monotonic()))
    return quote_ids


def first_answers_ms(desk: Desk, service: str, starts: int) -> list[float]:
    """How late the first quote after each start of a service is answered, asked as soon as the desk is trade-ready."""
    latencies = []
    for _ in range(starts):
        desk.restart(service)
        desk.arm()
        quote_id = desk.world.demand(**DEMANDS[0], min_wait_ms=3_000)
        desk.result(quote_id, "accepted")
        latencies += [answer["received_ms"] for answer in desk.world.get(f"/demands/{quote_id}")["answers"]]
    return latencies


def stage_table(desk: Desk, quote_ids: list[str]) -> dict[str, list[float]]:
    """Milliseconds between successive stages of the quotes that were sent."""
    rows = desk.sql(
        "SELECT event->'stages' AS stages FROM history.trade_result WHERE state = 'sent' AND quote_id = ANY(%s)",
        quote_ids,
    )
    spent: dict[str, list[float]] = {}
    for row in rows:
        stamps = {name: _seconds(stamp) for name, stamp in row["stages"].items()}
        for before, after in pairwise(STAGES):
            if before in stamps and after in stamps:
                spent.setdefault(f"{before} → {after}", []).append((stamps[after] - stamps[before]) * 1000)
        spent.setdefault("received → sent", []).append((stamps["sent"] - stamps["received"]) * 1000)
    return spent


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quotes", type=int, default=600)
    parser.add_argument("--per-second", type=float, default=10.0)
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    with running_desk() as desk:
        desk.act("strategy-engine", "limits", offers_per_minute_max=100_000, exposure_cap_eur="100000")
        desk.arm()
        ask(desk, 20, 5)  # warm
        pids = {name: pid for name, pid in desk.pids().items() if pid is not None}
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        began = time.monotonic()
        quote_ids = ask(desk, options.quotes, options.per_second)
        took_s = time.monotonic() - began
        cpu = {name: (cpu_s(pid) - before[name]) / took_s * 100 for name, pid in pids.items()}
        memory = {name: memory_mb(pid) for name, pid in pids.items()}
        time.sleep(5)
        outcomes = [desk.world.get(f"/demands/{quote_id}") for quote_id in quote_ids]
        latencies = [answer["received_ms"] for each in outcomes for answer in each["answers"]]
        settled = sum(each["status"] == "settled" for each in outcomes)
        print(
            f"{len(quote_ids)} quotes at {len(quote_ids) / took_s:.1f}/s: {len(latencies)} answered, {settled} settled"
        )
        print(
            f"relay publishes → answer arrives: p50 {statistics.median(latencies):.1f} ms, "
            f"p99 {percentile(latencies, 0.99):.1f} ms, worst {max(latencies):.1f} ms"
        )
        for stage, values in stage_table(desk, quote_ids).items():
            print(f"  {stage:45} p50 {statistics.median(values):7.2f} ms  p99 {percentile(values, 0.99):7.2f} ms")
        for name in sorted(pids):
            print(f"  {name:26} {memory[name]:7.0f} MB  {cpu[name]:5.1f} % of a core")
        for service in ("near-intents-ingest", "strategy-engine", "trade-executor"):
            firsts = ", ".join(f"{value:.0f}" for value in first_answers_ms(desk, service, options.starts))
            print(f"first quote after a start of {service:22} answered after {firsts} ms")


if __name__ == "__main__":
    main()
