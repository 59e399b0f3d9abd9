"""Time per frame for every parser: frames as they come, the largest that the sockets read, and 4 MiB of the worst.

make bench-parsers    # percentiles in milliseconds, against the aim of 50 ms for any frame
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from fuzz.large import FILLERS, filled
from fuzz.targets import ACCOUNT, CONTRACT, NOW, URL, answering, client, structured
from unrip.feeds.coingecko import CoinGeckoUnavailable, parse_simple_price
from unrip.feeds.kraken import KrakenSession, KrakenUnavailable, parse_rest_ticker
from unrip.messages.codec import decode_event
from unrip.messages.envelope import InvalidMessage
from unrip.net.exact import NotExact, decode
from unrip.venues.near_intents.bridge import Bridge, BridgeError
from unrip.venues.near_intents.contract_events import successful_logs
from unrip.venues.near_intents.relay import RelaySession
from unrip.venues.near_intents.rpc import NearRpc, RpcError

AIM_MS = 50.0
TYPICAL_FRAMES = 2_000
#: Of every kind of filler.
LARGE_FRAMES = 3
SIZES = {"250 kB": 250_000, "4 MiB": 4 * 1024 * 1024 - 2_000}

_REFUSALS = (NotExact, KrakenUnavailable, CoinGeckoUnavailable, BridgeError, RpcError, InvalidMessage)

Parser = Callable[[bytes], object]


def asked(question: Callable[[], Awaitable[object]]) -> Parser:
    """A parser behind the HTTP client; what the client itself costs is part of it."""

    def parse(frame: bytes) -> object:
        async def ask() -> object:
            return await question()

        with answering(frame):
            return runner.run(ask())

    return parse


runner = asyncio.Runner()
relay = RelaySession(())
kraken = KrakenSession("BTC/EUR")
bridge = Bridge(client, URL, account=ACCOUNT)
rpc = NearRpc(client, URL)

#: Which corpus a parser's frames come from, and the parser.
PARSERS: dict[str, tuple[str, Parser]] = {
    "relay socket": ("relay", lambda frame: relay.receive(frame.decode())),
    "kraken socket": ("kraken", lambda frame: kraken.receive(frame.decode(), NOW)),
    "kraken answer": ("kraken", lambda frame: parse_rest_ticker(decode(frame), NOW)),
    "coingecko answer": (
        "coingecko",
        lambda frame: parse_simple_price(
            decode(frame), base_id="bitcoin", quote_id="monerium-eur-money", observed_at=NOW
        ),
    ),
    "bridge deposits": ("bridge", asked(lambda: bridge.recent_deposits("btc:mainnet"))),
    "node view": ("rpc", asked(lambda: rpc.view(CONTRACT, "fee", {}, height=140_000_123))),
    "node transaction": ("rpc", lambda frame: successful_logs(decode(frame), contract=CONTRACT)),
    "our records": ("records", lambda frame: decode_event("norm.swap_demand", frame)),
}


def spent_ms(parse: Parser, frames: list[bytes]) -> list[float]:
    """Milliseconds per frame, ordered."""
    spent = []
    for frame in frames:
        began = time.perf_counter()
        with contextlib.suppress(*_REFUSALS):
            parse(frame)
        spent.append((time.perf_counter() - began) * 1_000)
    return sorted(spent)


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    chance = random.Random(1)  # noqa: S311 - the same frames every time
    worst = 0.0
    print(f"{'parser':<17} {'frames':<8} {'n':>5} {'p50 ms':>9} {'p90 ms':>9} {'p99 ms':>9} {'max ms':>9}")
    for name, (corpus, parse) in PARSERS.items():
        seeds = structured(corpus)
        kinds = {"typical": [chance.choice(seeds) for _ in range(TYPICAL_FRAMES)]}
        for label, size in SIZES.items():
            kinds[label] = [
                filled(chance.choice(seeds), filler, size, chance) for filler in FILLERS for _ in range(LARGE_FRAMES)
            ]
        for label, frames in kinds.items():
            spent = spent_ms(parse, frames)
            worst = max(worst, spent[-1])
            shown = " ".join(
                f"{value:9.3f}" for value in (*(percentile(spent, p) for p in (0.5, 0.9, 0.99)), spent[-1])
            )
            print(f"{name:<17} {label:<8} {len(spent):>5} {shown}")
    print(f"worst frame: {worst:.1f} ms, aim {AIM_MS:.0f} ms")


if __name__ == "__main__":
    with contextlib.closing(runner):
        main()
