"""A whole desk as scenario tests run it: real processes, real broker and database, the simulated world.

desk.arm()
quote_id = desk.world.demand(direction="btc_to_eure", amount_in="15000")
desk.result(quote_id, "settled")
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from confluent_kafka import Producer as ConfluentProducer
from psycopg.rows import dict_row

from support.ports import free_ports
from support.servers import free_server_ports, temporary_home
from support.world import WorldClient
from unrip.cli.client import ControlClient
from unrip.cli.exits import CommandFailed
from unrip.domain.pairs import Direction
from unrip.frame.settings import Settings
from unrip.local.desk import LocalDesk
from unrip.local.paths import user_data_folder
from unrip.services.registry import SERVICES
from unrip.store.sql import of_desk

WITHIN_S = 20.0
#: A token of the relay that no service of the desk is told of.
SPARE_TOKEN = "spare-token-of-the-relay"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A running desk."""

    local: LocalDesk
    settings: Settings
    client: ControlClient
    world: WorldClient

    # --- looking -----------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], Any], *, what: str = "condition", timeout_s: float = WITHIN_S) -> Any:
        """Wait until the condition gives something true, and give that."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{what} not met within {timeout_s} s"
            time.sleep(0.05)
        return value

    def sql(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Rows from PostgreSQL, from the desk's own schemas."""
        with psycopg.connect(self.settings.postgres_url(), row_factory=dict_row) as connection:
            return connection.execute(of_desk(query, self.settings.desk.name), arguments).fetchall()

    def state(self, service: str) -> dict[str, Any]:
        return self.client.state(service)

    def decision(self, quote_id: str) -> dict[str, Any]:
        """The decision about a quote as PostgreSQL has it."""
        rows = self.until(
            lambda: self.sql(
                "SELECT event->'payload' AS payload FROM history.trade_decision WHERE quote_id = %s", quote_id
            ),
            what=f"a decision about {quote_id} in PostgreSQL",
        )
        assert len(rows) == 1, "a quote is decided once"
        payload: dict[str, Any] = rows[0]["payload"]
        return payload

    def refused(self, quote_id: str) -> dict[str, Any]:
        """The decision, which must be a refusal without any submission; gives the guard that refused."""
        decision = self.decision(quote_id)
        assert not decision["accepted"], f"{quote_id} was accepted"
        assert self.submissions(quote_id) == []
        guard: dict[str, Any] = next(each for each in decision["guards"] if each["reason"] == decision["reason"])
        assert not guard["passed"]
        return guard

    def results(self, quote_id: str) -> list[dict[str, Any]]:
        """All results of a quote's command in PostgreSQL, oldest first."""
        rows = self.sql(
            "SELECT event->'payload' AS payload FROM history.trade_result WHERE quote_id = %s ORDER BY \"offset\"",
            quote_id,
        )
        return [row["payload"] for row in rows]

    def result(self, quote_id: str, state: str, *, timeout_s: float = WITHIN_S) -> dict[str, Any]:
        """The result of this state, once PostgreSQL has it."""
        try:
            found: dict[str, Any] = self.until(
                lambda: next((each for each in self.results(quote_id) if each["state"] == state), None),
                what=f"result {state!r} of {quote_id} in PostgreSQL",
                timeout_s=timeout_s,
            )
        except AssertionError as error:
            states = [(each["state"], each["reason"]) for each in self.results(quote_id)]
            raise AssertionError(f"{error}; there are {states}") from None
        return found

    def submissions(self, quote_id: str) -> list[dict[str, Any]]:
        """Every answer to a quote that the relay's socket received."""
        answers: list[dict[str, Any]] = self.world.get("/submissions", quote_id=quote_id)["submissions"]
        return answers

    def log_lines(self, service: str, event: str | None = None) -> list[dict[str, Any]]:
        """The structured lines of a service, optionally of one event."""
        lines = []
        for line in self.local.home.log_of(service).read_text().splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                if event is None or entry.get("event") == event:
                    lines.append(entry)
        return lines

    def trade_ready(self) -> dict[str, dict[str, Any]]:
        ready: dict[str, dict[str, Any]] = self.state("strategy-engine")["trade_ready"]
        return ready

    def quarantine(self) -> dict[str, Any] | None:
        """What the executor says about it; None also while it has not started yet."""
        with suppress(CommandFailed):
            found: dict[str, Any] | None = self.state("trade-executor")["quarantine"]
            return found
        return None

    def condition(self) -> str:
        """What each service says is the matter, and its last lines; for a scenario that failed."""
        told = []
        for service in SERVICES:
            try:
                state = self.state(service)
            except CommandFailed as error:
                state = {"error": str(error)}
            wanted = ("error", "not_ready", "armed", "halted", "paused", "trade_ready", "reconciliation", "unexplained")
            told.append(f"{service}: {json.dumps({name: state[name] for name in wanted if name in state})}")
            told += [
                f"    {name}: {json.dumps(state[name])[:2_000]}"
                for name in ("open_offers", "in_doubt", "revocation")
                if state.get(name)
            ]
            told += self._last_lines(service)
            if self.local.home.log_of(f"second-{service}").exists():
                told += [f"second {service}:", *self._last_lines(f"second-{service}")]
        return "\n".join(told)

    def _last_lines(self, service: str) -> list[str]:
        lines = [line for line in self.log_lines(service) if line["component"] != "control"]
        return [f"    {line}"[:700] for line in lines[-12:]]

    def until_trade_ready(self) -> None:
        """Wait until nothing is in the way of a trade in either direction.

        To be asked after `all_ready`: the strategy may not have heard yet that a service was not ready.
        """
        self.until(lambda: all(each["ready"] for each in self.trade_ready().values()), what="trade-ready")

    def until_not_ready(self, service: str, *reasons: str) -> None:
        """Wait until a service, which may be starting, names all of these among its reasons for not being ready."""

        def told() -> bool:
            with suppress(CommandFailed):
                return set(reasons) <= set(self.state(service)["not_ready"])
            return False

        self.until(told, what=f"{service} not ready: {', '.join(reasons)}")

    # --- acting ------------------------------------------------------------------------------------------------------

    def act(self, service: str, action: str, **arguments: Any) -> dict[str, Any]:
        outcome = self.client.act(service, action, reason="scenario", **arguments)
        assert outcome["applied"], outcome["refusal"]
        return outcome

    def arm(self, *directions: Direction, **arguments: Any) -> None:
        """Arm executor and strategy and wait until the armed directions are trade-ready."""
        wanted = [str(each) for each in directions or tuple(Direction)]
        self.until(lambda: self.client.is_ready("trade-executor"), what="executor ready")

        def armed() -> bool:  # a connection that was mute may be made anew between its readiness and this
            outcome = self.client.act("trade-executor", "arm", reason="scenario", directions=wanted, **arguments)
            return bool(outcome["applied"])

        self.until(armed, what="executor armed")
        self.act("strategy-engine", "arm", directions=wanted, **arguments)
        self.until(lambda: all(self.trade_ready()[way]["ready"] for way in wanted), what="trade-ready")

    def disarm(self) -> None:
        for service in ("strategy-engine", "trade-executor"):
            self.act(service, "disarm")

    @contextmanager
    def fault(self, service: str, kind: str, **parameters: Any) -> Iterator[None]:
        """Let something go wrong in the world for as long as the context lasts."""
        self.world.fault(service, kind, **parameters)
        try:
            yield
        finally:
            self.world.delete(f"/faults/{service}/{kind}")

    @contextmanager
    def spent_down(self, token_id: str, *, leave: int) -> Iterator[None]:
        """Take all but a rest of an asset out of our account, as a withdrawal would, and give it back afterwards."""
        account = self.settings.near_intents.account
        taken = self.world.balance(account, token_id, at="final") - leave
        self._change("debit", token_id, taken)
        try:
            yield
        finally:
            self._change("credit", token_id, taken)

    def _change(self, change: str, token_id: str, amount: int) -> None:
        """Change our balance and wait until the strategy counts with it."""
        before = self.world.balance(self.settings.near_intents.account, token_id)
        account = self.settings.near_intents.account
        self.world.post(f"/accounts/{account}/{change}", token_id=token_id, amount=str(amount))
        wanted = before + (amount if change == "credit" else -amount)

        def counted() -> bool:
            desk = self.state("strategy-engine")["desk"]
            return int(desk["ledger"]["credited"][token_id]) == wanted

        self.until(counted, what=f"{change} counted")
        self.accept_balance(token_id)

    def accept_balance(self, token_id: str) -> None:
        """Accept, as an operator, what the world did to our balance without evidence; wait until it is spendable."""
        symbol = next(asset.symbol for asset in self.settings.pair.pair().assets() if asset.asset_id == token_id)

        def accepted() -> bool:
            state = self.state("inventory-sync")
            if not state["reconciliation"].get(token_id, "").startswith("unexplained"):
                return False
            amount = state["unexplained"][symbol]
            outcome = self.client.act(
                "inventory-sync", "accept-balance", reason="scenario", asset=symbol, unexplained=amount
            )
            return bool(outcome["applied"])  # not while evidence waits, or when more moved since

        self.until(accepted, what="unexplained, and accepted")

        def counted() -> bool:
            books = self.state("strategy-engine")["inventory"]["value"]
            return bool(books["credited"][token_id] == books["books"]["explained"][token_id])

        self.until(counted, what="accepted balance counted")

    def accept_balances(self) -> None:
        """Accept what a scenario that failed half-way left unexplained, lest all after it fail as well."""
        for token_id, how in self.state("inventory-sync")["reconciliation"].items():
            if how.startswith("unexplained"):
                self.accept_balance(token_id)

    def produce(self, topic: str, key: str, *values: bytes) -> None:
        """Put records on a topic as any stranger with access could."""
        producer = ConfluentProducer(
            {"bootstrap.servers": self.settings.kafka.bootstrap, "broker.address.family": "v4"}
        )
        for value in values:
            producer.produce(topic, value, key)
        assert producer.flush(30) == 0

    # --- processes ---------------------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int | None]:
        return {name: status.pid for name, status in self.local.stack.supervisor.status().items()}

    def kill(self, program: str) -> int:
        """Kill -9; gives the pid that died."""
        pid = self.pids()[program]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    @contextmanager
    def frozen(self, program: str) -> Iterator[None]:
        """Stop a process in its tracks (SIGSTOP) for as long as the context lasts; it notices only the time."""
        pid = self.pids()[program]
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def restart(self, service: str, environment: dict[str, str] | None = None) -> None:
        """Stop a service gracefully and start it again, perhaps with other environment."""
        self.stop(service)
        self.local.stack.supervisor.add(self.local.service_program(service, self.settings, environment))
        self.start(service)
        self.until(lambda: self.client.is_ready(service), what=f"{service} ready")

    @contextmanager
    def second_instance(self, service: str, environment: dict[str, str] | None = None) -> Iterator[ControlClient]:
        """Another process of a service, started by mistake, on a port of its own, perhaps with other environment."""
        (port,) = free_ports(1)
        key = service.replace("-", "_")
        settings = self.settings.model_copy(update={"ports": self.settings.ports.model_copy(update={key: port})})
        second = ControlClient(settings)
        variables = {**os.environ, f"UNRIP_PORTS__{key.upper()}": str(port), **(environment or {})}
        command = [sys.executable, "-m", "unrip", "run", service, "--config", str(self.local.settings_file)]
        with self.local.home.log_of(f"second-{service}").open("wb") as log:
            process = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)
        try:
            self.until(lambda: _answers(second, service), what="a second instance that answers")
            yield second
        finally:
            process.terminate()
            assert process.wait(timeout=15) == 0

    @contextmanager
    def tailing(self, *arguments: str) -> Iterator[Iterator[str]]:
        """`unrip tail` as it runs; its lines one by one. Ctrl-C ends it with code 0."""
        command = [sys.executable, "-m", "unrip", "tail", "--config", str(self.local.settings_file), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield iter(process.stdout.readline, "")
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=15) == 0
            process.stdout.close()

    def stop(self, program: str) -> None:
        self.local.stack.supervisor.stop(program)

    def start(self, program: str) -> None:
        self.local.stack.supervisor.start(program)

    def all_ready(self) -> bool:
        return all(self.client.is_ready(service) for service in SERVICES)


def _answers(client: ControlClient, service: str) -> bool:
    try:
        return bool(client.state(service))
    except CommandFailed:
        return False


#: What makes a scenario short by configuration of world and services; the demo uses the real values.
SHORT_LIVES: dict[str, Any] = {
    "limits": {
        "deadline_margin_ms": 1_000,
        "markout_ms": 3_000,
        "kraken_age_max_ms": 3_000,
        "coingecko_age_max_ms": 6_000,
        "peg_age_max_ms": 18_000,
        "inventory_age_max_ms": 4_000,
    },
    "intervals": {
        "executor_read_ms": 500,
        "held_check_s": 1,
        "inventory_ms": 500,
        "bridge_s": 1,
        "treasury_s": 1,
        "mute_after_ms": 15_000,
        "subscribe_again_ms": 2_000,
        "stable_after_ms": 500,
        "relay_reply_ms": 1_000,
    },
    # Scenarios trade many times a minute; what the executor's own caps refuse is set where it is tried.
    "spending": {"base_per_minute": "0.1", "quote_per_minute": "5000", "base_open": "0.1", "quote_open": "5000"},
    "coingecko": {"poll_interval_s": 1},
    "price": {"jump_window_s": 4, "jump_readings_min": 2},
    "control": {"rearm_after_s": 1},
}


@contextmanager
def running_desk(
    world: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    base: Path | None = None,
    inventory: dict[str, str] | None = None,
) -> Iterator[Desk]:
    """Start a desk on free ports in a home of its own, and stop it at the end; no process is left."""
    with temporary_home() as home:
        ports = dict(zip((name.replace("-", "_") for name in SERVICES), free_ports(len(SERVICES)), strict=True))
        local = LocalDesk(
            home=home,
            user_data=user_data_folder(os.environ),
            base=base,
            progress=lambda _: None,
            ports=free_server_ports(),
            inventory=inventory,
            world_overrides={"takers": [], "market": {"coingecko_every_s": 2}, **(world or {})},
            settings_overrides={**SHORT_LIVES, **(settings or {}), "ports": ports},
            tied_to_caller=True,
        )
        in_force = asyncio.run(local.start())
        assert local.world is not None
        urls = local.world.urls()
        try:
            with httpx.Client(base_url=urls["control"], timeout=10) as http:
                yield Desk(
                    local=local,
                    settings=in_force,
                    client=ControlClient(in_force),
                    world=WorldClient(urls=urls, http=http),
                )
        finally:
            asyncio.run(local.stop())
