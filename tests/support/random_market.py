"""One seeded stretch of a market that does what it likes to a desk with little to spend; the world judges it."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from itertools import count, takewhile
from random import Random
from typing import Any

from support.pure_desk import PureDesk
from support.virtual_world import DESK
from unrip.domain.attempt import TradeResult
from unrip.domain.policy import Policy
from unrip.messages.topics import EXECUTE_TRADE, TRADE_RESULT
from unrip_world.assets import BTC, EURE
from unrip_world.config import AccountSettings, MarketSettings
from unrip_world.faults import read_fault

#: What may go wrong, and how often: lasting faults end by themselves.
FAULTS: tuple[dict[str, Any], ...] = (
    {"service": "relay", "kind": "drop_status", "for_s": "8"},
    {"service": "relay", "kind": "duplicate_status", "for_s": "8"},
    {"service": "relay", "kind": "delay_status_ms", "ms": 4_000, "for_s": "8"},
    {"service": "relay", "kind": "wrong_status_tx", "also_right": True, "for_s": "8"},
    {"service": "relay", "kind": "false_status"},
    {"service": "relay", "kind": "lose_replies", "for_s": "5"},
    {"service": "relay", "kind": "refuse_answers", "for_s": "3"},
    {"service": "relay", "kind": "withhold_settlement", "for_s": "6"},
    {"service": "relay", "kind": "stranger", "after_ms": 1_500, "for_s": "5"},
    {"service": "rpc", "kind": "lag_blocks", "blocks": 6, "for_s": "6"},
    {"service": "verifier", "kind": "rotate_salt"},
)
GIFTS: tuple[dict[str, Any], ...] = (
    {"service": "verifier", "kind": "gift", "account_id": DESK.account_id, "token_id": EURE, "amount": 10**18},
    {"service": "verifier", "kind": "gift", "account_id": DESK.account_id, "token_id": BTC, "amount": 1},
)
#: Limits that are other tests' business.
WIDE: dict[str, Any] = {
    "exposure_cap_eur": Decimal(1_000_000),
    "offers_per_minute_max": 1_000_000,
    "day_result_min_eur": Decimal(-1_000_000),
}
#: About 20 EUR.
SATS, WEI = 28_000, 20 * 10**18


class RandomMarket:
    """Six to twelve requests within half a minute, several accepted at a time, and a few faults."""

    def __init__(self, seed: int, *, banded: bool = False) -> None:
        rng = self._rng = Random(f"random market {seed}")  # noqa: S311 - it must repeat
        balances = {BTC: str(rng.randint(SATS // 2, SATS * 4)), EURE: str(rng.randint(WEI // 2, WEI * 4))}
        account = AccountSettings(account_id=DESK.account_id, public_keys=[DESK.public_key], balances=balances)
        # A share of nine times the asset is no limit: then nothing but the holds keeps offers apart. With all of such a
        # small balance most offers join the pool, with half of it many are refused.
        share, margin_ms = Decimal(rng.choice(["1", "0.5", "9", "9"])), rng.choice([1_000, 10_000])
        bands = _bands(seed, balances) if banded else {}
        policy = Policy(held_share=share, deadline_margin_ms=margin_ms, **WIDE, **bands)
        #: No band keeps a gift away.
        self._faults = FAULTS if banded else (*FAULTS, *GIFTS)
        self.desk = PureDesk(policy=policy, accounts=[account], seed=seed, market=MarketSettings(tick_ms=1_000))

    def run(self) -> Counter[str]:
        """What came of it, counted."""
        for _ in range(self._rng.randint(6, 12)):
            self._ask()
            if self._rng.random() < 0.3:
                self._fault()
            self.desk.run(self._rng.choice([0, 0, 0.05, 0.3, 1, 6]))
        self.desk.run(12)
        return self._counted()

    def _ask(self) -> None:
        rng = self._rng
        direction = rng.choice(["btc_to_eure", "eure_to_btc"])
        given, wanted = (SATS, WEI) if direction == "btc_to_eure" else (WEI, SATS)
        share = rng.choice([25, 50, 100, 110, 115])
        side = rng.choice(["amount_in", "amount_in", "amount_out"])
        self.desk.demand(
            direction=direction,
            accept=rng.choice(["best", "best", "never"]),
            min_deadline_ms=rng.choice([1_000, 5_000, 20_000]),
            min_wait_ms=300,
            max_wait_ms=rng.choice([500, 2_000]),
            partner_id=rng.choice([None, "1click", "1click", "router-solver"]),
            dry=rng.random() < 0.2,
            **{side: str((given if side == "amount_in" else wanted) * share // 100)},
        )

    def _fault(self) -> None:
        desk = self.desk
        fault = read_fault(self._rng.choice(self._faults), now_ns=desk.now_ns)
        desk.from_world(desk.world.set_fault(fault, desk.now_ns))

    def balances(self) -> list[dict[str, int]]:
        """Ours at every block, by the world's own ledger."""
        world = self.desk.world
        heights = takewhile(world.chain.block, count(world.chain.head.height, -1))
        at_each = [world.balances(DESK.account_id, height=height) for height in heights]
        return [{token: int(held.get(token, "0")) for token in (BTC, EURE)} for held in reversed(at_each)]

    def executed(self) -> set[str]:
        """The hashes of our offers that the chain executed, by the contract's own events."""
        chain = self.desk.world.chain
        found: set[str] = set()
        height = chain.head.height
        while (block := chain.block(height)) is not None:
            for outcome in block.outcomes:
                for line in outcome.receipts[0].logs:
                    event = json.loads(line.removeprefix("EVENT_JSON:"))
                    if event["event"] == "intents_executed":
                        found |= {
                            each["intent_hash"] for each in event["data"] if each["account_id"] == DESK.account_id
                        }
            height -= 1
        return found

    def ends(self) -> list[TradeResult]:
        """The terminal results of what was claimed."""
        results = [event.payload for event in self.desk.topics[TRADE_RESULT.name]]
        return [result for result in results if result.state.terminal and result.quote_hash is not None]

    def _counted(self) -> Counter[str]:
        desk = self.desk
        verdict = desk.world.judge.verdict(DESK.account_id, height=desk.world.chain.head.height)
        commands = [event.payload for event in desk.topics[EXECUTE_TRADE.name]]
        ends = [event.payload for event in desk.topics[TRADE_RESULT.name] if event.payload.state.terminal]
        found = Counter(
            commands=len(commands),
            sharing=sum(command.nonce_opener is not None for command in commands),
            settlements=verdict["settlements"],
            short_of_balance=verdict["insufficient_balance"],
        )
        found.update(f"ended {end.state}" for end in ends)
        found.update({f"failed: {text}": times for text, times in verdict["failed"].items()})
        return found


def _bands(seed: int, balances: dict[str, str]) -> dict[str, Any]:
    """Bounds near what there is at first, which may lie outside of them."""
    rng = Random(f"bands {seed}")  # noqa: S311 - it must repeat
    bounds: dict[str, Any] = {}
    for name, token, digits in (("base", BTC, 8), ("quote", EURE, 18)):
        had = Decimal(balances[token]).scaleb(-digits)
        least, most = rng.choice([None, None, "0.3", "0.9", "1.1"]), rng.choice([None, "1.3", "1.8", "2.5"])
        bounds[f"{name}_min"] = None if least is None else had * Decimal(least)
        bounds[f"{name}_max"] = None if most is None else had * Decimal(most)
    return bounds
