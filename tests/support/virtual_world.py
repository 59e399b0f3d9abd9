"""A world on virtual time, and a solver on its relay: no socket, no waiting."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from nacl.signing import SigningKey

from support.solver import Signer, intent_hash, token_diff
from unrip_world.assets import BTC, EURE
from unrip_world.codec import NS_PER_MS, NS_PER_S
from unrip_world.config import (
    AccountSettings,
    WorldSettings,
)
from unrip_world.demands import read_demand
from unrip_world.effects import Effect, Reply, Send
from unrip_world.faults import read_fault
from unrip_world.world import World

START_NS = 1_900_000_000 * NS_PER_S
DESK = Signer(account_id="desk.near", key=SigningKey(hashlib.sha256(b"desk").digest()))
SALT = bytes.fromhex("252812b3")


def at(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1_000)


def nanoseconds(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


def world(
    *, script: Sequence[Mapping[str, Any]] = (), demands: Sequence[Mapping[str, Any]] = (), **sections: Any
) -> World:
    account = AccountSettings(
        account_id=DESK.account_id,
        public_keys=[DESK.public_key],
        balances={BTC: str(10**9), EURE: str(10**6 * 10**18)},
    )
    settings = WorldSettings(**{"takers": (), "accounts": [account], **sections})
    return World(settings, script=script, demands=demands, now_ns=START_NS)


class Driver:
    """Runs a world on virtual time and collects frames; answers every quote event with `respond`, if there is one."""

    def __init__(self, subject: World, respond: Callable[["Driver", dict[str, Any]], object] | None = None) -> None:
        self.world, self.now_ns, self.respond = subject, START_NS, respond
        self.frames: list[dict[str, Any]] = []
        self.replies: list[Any] = []
        subject.relay.on_open(1, solver="desk", instance_id=None)
        for number, stream in enumerate(("quote", "quote_status")):
            self.send({"id": number, "method": "subscribe", "params": [stream]})

    def send(self, frame: Mapping[str, Any]) -> None:
        self.take(self.world.relay.on_frame(1, json.dumps({"jsonrpc": "2.0", **frame}), self.now_ns))

    def take(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Reply):
                self.replies.append(effect.result)
            if not isinstance(effect, Send) or effect.service != "relay":
                continue
            frame = json.loads(effect.text)
            self.frames.append(frame)
            data = frame.get("params", {}).get("data", {})
            if self.respond is not None and "quote_id" in data:
                self.respond(self, data)

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + int(seconds * NS_PER_S)
        while (due_ns := self.world.next_at_ns()) <= end_ns:
            self.now_ns = due_ns
            self.take(self.world.advance(due_ns))
        self.now_ns = end_ns

    def events(self, field: str) -> list[dict[str, Any]]:
        return [f["params"]["data"] for f in self.frames if field in f.get("params", {}).get("data", {})]


def fair_answer(driver: Driver, event: dict[str, Any], *, give_pct: Decimal = Decimal(99)) -> str:
    """Answer near the fair price, as a solver with a margin does."""
    price = driver.world.walk.tick.mid
    given, asked = event["defuse_asset_identifier_in"], event["defuse_asset_identifier_out"]

    def eur(token: str, amount: int) -> Decimal:
        return Decimal(amount).scaleb(-8) * price if token == BTC else Decimal(amount).scaleb(-18)

    def units(token: str, value: Decimal) -> int:
        return int((value / price).scaleb(8)) if token == BTC else int(value.scaleb(18))

    if "exact_amount_in" in event:
        amount_in = int(event["exact_amount_in"])
        amount_out = units(asked, eur(given, amount_in) * give_pct / 100)
        output = {"amount_out": str(amount_out)}
    else:
        amount_out = int(event["exact_amount_out"])
        amount_in = units(given, eur(asked, amount_out) * 100 / give_pct)
        output = {"amount_in": str(amount_in)}
    signed = DESK.sign(
        [token_diff({given: amount_in, asked: -amount_out})],
        salt=SALT,
        deadline_ms=driver.now_ns // NS_PER_MS + event["min_deadline_ms"] + 10_000,
        unique=hashlib.sha256(event["quote_id"].encode()).digest()[:15],
    )
    answer = {"quote_id": event["quote_id"], "quote_output": output, "signed_data": signed}
    driver.send({"id": 99, "method": "quote_response", "params": [answer]})
    return intent_hash(signed)


def strike(driver: Driver, service: str, kind: str, **parameters: Any) -> None:
    fault = read_fault({"service": service, "kind": kind, **parameters}, now_ns=driver.now_ns)
    driver.take(driver.world.set_fault(fault, driver.now_ns))


def clear(driver: Driver, service: str, kind: str) -> None:
    driver.take(driver.world.clear_fault(service, kind))


def ask(driver: Driver) -> str:
    body = {"direction": "btc_to_eure", "amount_in": "100000", "min_wait_ms": 300}
    quote_id, effects = driver.world.demand(read_demand(body), driver.now_ns)
    driver.take(effects)
    return quote_id


def until(driver: Driver, quote_id: str, status: str) -> None:
    for _ in range(100):
        if driver.world.relay.auctions[quote_id].status == status:
            return
        driver.run(0.1)
    raise AssertionError(f"never {status}, but {driver.world.relay.auctions[quote_id].status}")


def held(driver: Driver, *, final: bool = False) -> int:
    chain = driver.world.chain
    block = chain.final if final else chain.head
    return int(driver.world.balances(DESK.account_id, height=block.height).get(BTC, "0"))


def verdict(driver: Driver) -> dict[str, Any]:
    return driver.world.judge.verdict(DESK.account_id, height=driver.world.chain.head.height)
