"""A world that goes on where it was: what it remembers, when, and what it refuses to believe."""

import json
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import count, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support.virtual_world import DESK, START_NS, Driver, fair_answer
from unrip_world.assets import BTC, EURE
from unrip_world.codec import NS_PER_S
from unrip_world.config import (
    AccountSettings,
    BridgeSettings,
    ChainSettings,
    TakerSettings,
    VerifierSettings,
    WorldSettings,
)
from unrip_world.effects import Effect
from unrip_world.faults import read_fault
from unrip_world.memory.file import MemoryFile, MemoryFileError
from unrip_world.memory.keeper import remember
from unrip_world.memory.parts import all_rows
from unrip_world.world import World

SETTINGS = WorldSettings(
    chain=ChainSettings(block_ms=500, keep_blocks=60),
    bridge=BridgeSettings(credit_after_s=Decimal(3)),
    takers=(
        TakerSettings(name="a", direction="btc_to_eure", every_s=Decimal(2)),
        TakerSettings(name="b", direction="eure_to_btc", every_s=Decimal(2)),
    ),
    accounts=[
        AccountSettings(
            account_id=DESK.account_id,
            public_keys=[DESK.public_key],
            balances={BTC: str(10**9), EURE: str(10**6 * 10**18)},
        )
    ],
)
#: One fault of each shape: with a decimal, with an end, in the storage, of the chain's own.
FAULTS: list[dict[str, Any]] = [
    {"service": "coingecko", "kind": "price_factor", "factor": "1.05"},
    {"service": "kraken", "kind": "freeze", "for_s": 3600},
    {"service": "verifier", "kind": "lock", "account_id": "somebody.near"},
    {"service": "chain", "kind": "final_lag", "blocks": 5},
]


class Life(Driver):
    """One life of the world of a file, whose changes are kept before anybody is told of them."""

    def __init__(
        self,
        path: Path,
        *,
        now_ns: int = START_NS,
        settings: WorldSettings = SETTINGS,
        growth_bytes: int = 1 << 24,
        script: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.file = MemoryFile(path, growth_bytes=growth_bytes)
        subject, self.keep = remember(
            self.file,
            settings,
            begin=lambda born_ns: World(settings, script=script, now_ns=now_ns, born_ns=born_ns),
        )
        super().__init__(subject, respond=fair_answer)
        self.now_ns = now_ns

    def take(self, effects: Sequence[Effect]) -> None:
        self.keep()
        super().take(effects)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Life]]:
    """Begin a life on a file; the one before is killed, which a process would do with its lock."""
    lives: list[Life] = []

    def begin(**arguments: Any) -> Life:
        while lives:
            lives.pop().file.release()
        lives.append(Life(tmp_path / "world.memory", **arguments))
        return lives[-1]

    yield begin
    for life in lives:
        life.file.release()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, usual)


def everything(world: World) -> dict[tuple[str, str], Any]:
    return {(part, key): json.loads(json.dumps(body)) for part, key, body in all_rows(world)}


def trouble(life: Life) -> None:
    """Let happen what changes every collection, in place and back."""
    world = life.world
    world.relay.on_open(2, solver="desk", instance_id="one")
    life.take(
        world.relay.on_frame(
            2,
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": ["quote_status", None, True]}),
            life.now_ns,
        )
    )
    for chain, amount in (("btc:mainnet", 50_000), ("eth:100", 10**18), ("btc:mainnet", 1)):
        world.bridge.deposit(
            account_id=DESK.account_id, chain=chain, amount=amount, min_amount=None, now_ns=life.now_ns
        )
    life.run(10)
    life.take(world.set_fault(read_fault({"service": "chain", "kind": "reorg", "blocks": 2}, now_ns=0), life.now_ns))
    life.run(3)
    life.take(world.set_fault(read_fault({"service": "relay", "kind": "withhold_settlement"}, now_ns=0), life.now_ns))
    for body in FAULTS:
        life.take(world.set_fault(read_fault(body, now_ns=life.now_ns), life.now_ns))
    life.run(10)


def test_the_next_life_holds_everything_that_was_told(live: Callable[..., Life]) -> None:
    first = live()
    trouble(first)
    first.run(60)
    told = everything(first.world)
    assert {part for part, _ in told} >= {"blocks", "outcomes", "deposits", "offers", "settlements", "storage/nonces"}
    second = live(now_ns=first.now_ns + NS_PER_S)
    assert everything(second.world) == told
    head = first.world.chain.head
    assert second.world.chain.head == head
    assert second.world.chain.block(head.prev_hash) == first.world.chain.block(head.height - 1)
    second.run(2)
    after = second.world.chain.block(head.height + 1)
    assert after is not None
    assert after.prev_hash == head.hash
    assert second.world.walk.tick.open == first.world.walk.tick.open


def test_the_file_says_at_every_moment_what_the_world_holds(live: Callable[..., Life], tmp_path: Path) -> None:
    """No change may wait for a later one that happens to be noted."""
    life = live()
    copies = (tmp_path / f"copy-{number}" for number in count())

    def agree() -> None:
        copy = next(copies)
        copy.write_bytes((tmp_path / "world.memory").read_bytes())
        file = MemoryFile(copy)
        rows = file.read()
        file.release()
        assert rows is not None
        assert {(part, key): body for part, of in rows.items() for key, body in of.items()} == everything(life.world)

    for step in range(60):
        if step % 15 == 3:
            life.world.bridge.deposit(
                account_id=DESK.account_id, chain="btc:mainnet", amount=9_000, min_amount=None, now_ns=life.now_ns
            )
        if step % 20 == 10:
            reorg = {"service": "chain", "kind": "reorg", "blocks": 1, "requeue": step == 30}
            life.take(life.world.set_fault(read_fault(reorg, now_ns=life.now_ns), life.now_ns))
            agree()
        life.run(0.25)
        agree()


def test_a_trade_is_settled_over_a_kill_at_any_moment(live: Callable[..., Life]) -> None:
    """What was accepted or waits in the next block is there after the kill, and every notice is told."""
    rng = Random("kills")  # noqa: S311
    life, told = live(), list[str]()
    for _ in range(12):
        life.run(rng.uniform(2, 6))
        held = everything(life.world)
        told += [event["quote_hash"] for event in life.events("quote_hash")]
        life = live(now_ns=life.now_ns + rng.choice([0, 20]) * NS_PER_S)
        assert everything(life.world) == held
    life.world.takers_paused = True
    life.run(5)
    told += [event["quote_hash"] for event in life.events("quote_hash")]
    batches = life.world.relay.settlements.by_tx.values()
    assert [batch.status for batch in batches if batch.status != "settled"] == []
    assert len(batches) > 10
    assert sorted(told) == sorted(offer.quote_hash for batch in batches for offer in batch.offers)
    verdict = life.world.judge.verdict(DESK.account_id, height=life.world.chain.head.height)
    assert verdict["settlements"] == verdict["nonces_used"] == len(batches)


def test_ids_and_prices_are_not_those_of_the_life_before(live: Callable[..., Life]) -> None:
    first = live()
    first.run(20)
    second = live(now_ns=first.now_ns + NS_PER_S)
    second.run(20)
    quotes = [event["quote_id"] for event in first.events("quote_id") + second.events("quote_id")]
    assert len(set(quotes)) == len(quotes) > 10


def test_a_script_goes_on_where_it_was(live: Callable[..., Life]) -> None:
    script = [
        {"at_s": 2, "service": "verifier", "kind": "set_fee", "pips": 7},
        {"at_s": 30, "service": "verifier", "kind": "set_fee", "pips": 9},
    ]
    first = live(script=script)
    first.run(5)
    first.world.submit("set_fee", fee_pips=1)
    first.run(1)
    second = live(script=script, now_ns=first.now_ns + 10 * NS_PER_S)
    second.run(5)
    assert second.world.askers.fee_pips == 1
    second.run(20)
    assert second.world.askers.fee_pips == 9


def test_a_torn_end_was_told_to_nobody(live: Callable[..., Life], tmp_path: Path) -> None:
    life = live()
    life.run(3)
    told = everything(life.world)
    whole = (tmp_path / "world.memory").read_bytes()
    life.run(2)
    later = (tmp_path / "world.memory").read_bytes()
    first_line = later[len(whole) :].index(b"\n")
    for length in (1, first_line // 2, first_line):
        (tmp_path / "world.memory").write_bytes(later[: len(whole) + length])
        assert everything(live(now_ns=life.now_ns).world) == told
        assert (tmp_path / "world.memory").read_bytes().startswith(whole)


@pytest.mark.parametrize("place", [0, 0.3, 0.9])
def test_damage_is_refused_with_file_line_and_remedy(live: Callable[..., Life], tmp_path: Path, place: float) -> None:
    life = live()
    life.run(5)
    path = tmp_path / "world.memory"
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    with pytest.raises(MemoryFileError, match=r"world\.memory: damaged at line \d+: restore a copy of it, or begin"):
        live()


@pytest.mark.parametrize("content", [b"", b"not a world", b"\x00" * 4_096])
def test_a_file_without_a_whole_line_is_refused(live: Callable[..., Life], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "world.memory").write_bytes(content)
    with pytest.raises(MemoryFileError, match="damaged: it holds no whole line: restore a copy"):
        live()


def test_lines_that_make_no_world_are_refused(live: Callable[..., Life], tmp_path: Path) -> None:
    life = live()
    life.run(5)
    path = tmp_path / "world.memory"
    lines = path.read_bytes().splitlines(keepends=True)
    without_blocks = [line for line in lines if b'["blocks"' not in line]
    path.write_bytes(b"".join(without_blocks))
    with pytest.raises(MemoryFileError, match="damaged: what it holds makes no world"):
        live()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 2}, "its seed differ"),
        ({"accounts": []}, "its accounts differ"),
        ({"takers": ()}, "its takers differ"),
        ({"verifier": VerifierSettings(salt="00000000")}, "its verifier differ"),
        ({"chain": ChainSettings(genesis_height=5)}, r"its chain\.genesis_height differ"),
    ],
)
def test_another_world_is_refused_by_name(live: Callable[..., Life], change: dict[str, Any], named: str) -> None:
    live().run(1)
    other = WorldSettings(**{name: change.get(name, getattr(SETTINGS, name)) for name in SETTINGS.__struct_fields__})
    with pytest.raises(MemoryFileError, match=rf"holds another world: {named} from the configuration"):
        live(settings=other)


def test_two_worlds_do_not_share_a_file(live: Callable[..., Life], tmp_path: Path) -> None:
    live().run(1)
    with pytest.raises(MemoryFileError, match="another world runs on this file: stop it first"):
        Life(tmp_path / "world.memory")


def test_the_file_is_bounded(live: Callable[..., Life], tmp_path: Path) -> None:
    life = live(growth_bytes=50_000)
    sizes = []
    for _ in range(30):
        life.run(10)
        sizes.append((tmp_path / "world.memory").stat().st_size)
    told = everything(life.world)
    everything_bytes = len(json.dumps(list(told.items()), default=str))
    assert max(sizes) < 3 * everything_bytes + 100_000
    assert any(later < earlier for earlier, later in pairwise(sizes))
    assert everything(live(now_ns=life.now_ns).world) == told


def test_a_full_disk_ends_all_telling(live: Callable[..., Life]) -> None:
    """A commit that was not written is told to nobody, nor is a later one, and what was told before is there."""
    life = live()
    life.run(3)
    held = everything(life.world)
    size = (life.file.path).stat().st_size
    with (
        file_size_limit(size + 40),
        pytest.raises(MemoryFileError, match=r"world\.memory: cannot be written: File too"),
    ):
        life.run(1)
    with pytest.raises(MemoryFileError, match="cannot be written"):
        life.run(1)
    assert everything(live(now_ns=life.now_ns).world) == held


def test_a_clock_that_was_set_back_makes_no_older_block(live: Callable[..., Life]) -> None:
    first = live()
    first.run(20)
    head = first.world.chain.head
    second = live(now_ns=first.now_ns - 3_600 * NS_PER_S)
    second.run(2)
    blocks = [second.world.chain.block(height) for height in range(head.height, second.world.chain.head.height + 1)]
    times = [block.timestamp_ns for block in blocks if block is not None]
    assert len(times) > 2
    assert times == sorted(times)
