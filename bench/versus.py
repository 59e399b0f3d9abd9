"""Our desk and another solver on one world: same demands, same prices, same inventory.

    make versus SOLVER=DIR     # DIR is an installed checkout of the venue's example solver; it is only started

The other solver must be the venue's example (an `npm start` that is configured by its environment). It sends no
credentials, so it is the world's `anonymous`; ours is `desk-executor`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]

from support.desk import Desk, running_desk
from support.ports import free_ports
from unrip.local.keys import ensure_signing_key

NAMES = {"desk-executor": "unrip", "anonymous": "example solver"}
DEMANDS = (
    {"direction": "btc_to_eure", "amount_in": "12000"},
    {"direction": "eure_to_btc", "amount_in": "8500000000000000000"},
)
#: The example prices from its reserves, so they start at the world's own price; each side holds the same.
BTC_SATOSHI = 20_000_000
MARKET = {"start_eur_per_btc": "71000", "annual_volatility": "0.1"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("solver", nargs="?", type=Path)
    parser.add_argument("--demands", type=int, default=60)
    options = parser.parse_args()
    if options.solver is None or not (options.solver / "node_modules").is_dir():
        print("versus: SOLVER must name a checkout of the example solver with its modules installed (npm install)")
        return 2
    with running_desk(world=world_of(options.solver), inventory=inventory()) as desk:
        desk.act("strategy-engine", "limits", offers_per_minute_max=1_000)
        desk.arm()
        with example_solver(options.solver, desk):
            desk.until(partial(answers_after_a_demand, desk), what="a first answer of the example solver")
            ask(desk, options.demands)
            time.sleep(8)
            report(desk)
    return 0


def inventory() -> dict[str, str]:
    """What each of the two is credited with at the beginning."""
    eure_wei = BTC_SATOSHI * int(MARKET["start_eur_per_btc"]) * 10**10
    return {
        "nep141:btc.omft.near": str(BTC_SATOSHI),
        "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near": str(eure_wei),
    }


def key_file(solver: Path) -> Path:
    """A key of its own, beside the other solver's checkout."""
    return solver / "versus.key"


def world_of(solver: Path) -> dict[str, Any]:
    """The world with the other solver's account in it, open to who sends no token."""
    account = ensure_signing_key(key_file(solver))
    accounts = [{"account_id": account, "balances": inventory()}]
    return {"accounts": accounts, "market": MARKET, "relay": {"auth": "optional"}}


@contextmanager
def example_solver(folder: Path, desk: Desk) -> Iterator[None]:
    """The other solver, started by its own URL settings and ended afterwards."""
    base, quote = (token.removeprefix("nep141:") for token in inventory())
    environment = {
        **os.environ,
        "TEE_ENABLED": "false",
        "NEAR_NETWORK_ID": "mainnet",
        "NEAR_ACCOUNT_ID": ensure_signing_key(key_file(folder)),
        "NEAR_PRIVATE_KEY": key_file(folder).read_text().strip(),
        "NEAR_NODE_URL": desk.world.urls["near_rpc"],
        "RELAY_WS_URL": desk.world.urls["relay_ws"],
        "AMM_TOKEN1_ID": base,
        "AMM_TOKEN2_ID": quote,
        "APP_PORT": str(free_ports(1)[0]),
        "LOG_LEVEL": "error",
    }
    with (desk.local.home.log / "example-solver.log").open("wb") as log:
        process = subprocess.Popen(
            ["npm", "start", "--silent"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def solvers(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = desk.world.get("/state")["solvers"]
    return found


def answers_after_a_demand(desk: Desk) -> bool:
    ask(desk, 1)
    return "anonymous" in solvers(desk)


def ask(desk: Desk, count: int) -> None:
    """Publish demands, one a second, in both directions by turns."""
    for number in range(count):
        desk.world.demand(**DEMANDS[number % len(DEMANDS)], min_wait_ms=600, max_wait_ms=1_200)
        time.sleep(1)


def report(desk: Desk) -> None:
    columns = ("answers", "latency_p50_ms", "latency_p99_ms", "late", "wins", "settlements", "failures")
    print(f"{'':16}" + "".join(f"{column:>16}" for column in columns))
    for key, name in NAMES.items():
        figures = solvers(desk).get(key, {})
        cells = (figures.get(column) for column in columns)
        print(f"{name:16}" + "".join(f"{f'{cell:.1f}' if isinstance(cell, float) else cell!s:>16}" for cell in cells))
    print(json.dumps({"failed": {name: each["failed"] for name, each in desk.world.get("/judge")["accounts"].items()}}))


if __name__ == "__main__":
    sys.exit(main())
