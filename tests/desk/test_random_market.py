"""No taker who accepted an offer of ours finds too little, whatever the market does: the chain is the judge."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal

import pytest

from support.random_market import RandomMarket
from unrip.domain.attempt import AttemptState
from unrip.domain.decision import Refusal
from unrip.messages.topics import EXECUTE_TRADE, TRADE_DECISION
from unrip_world.assets import BTC, EURE

RUNS, RUNS_LONG, RUNS_BANDED = 120, 10_000, 45


def judged(seed: int) -> Counter[str]:
    """One run, held to the chain's own word."""
    market = RandomMarket(seed)
    counted = market.run()
    short = counted["short_of_balance"] or counted["failed: insufficient balance or overflow"]
    assert not short, f"seed {seed}: a taker found less than we promised"
    executed, ends = market.executed(), market.ends()
    by_state = {state: {end.quote_hash for end in ends if end.state is state} for state in AttemptState}
    assert by_state[AttemptState.SETTLED] <= executed, f"seed {seed}: settled without evidence"
    assert not executed & (by_state[AttemptState.LAPSED] | by_state[AttemptState.DROPPED]), f"seed {seed}: it settled"
    nonces = {event.payload.command_id: event.payload.nonce for event in market.desk.topics[EXECUTE_TRADE.name]}
    spent: dict[str, list[bool]] = defaultdict(list)
    for end in ends:
        if end.state is AttemptState.SPENT:
            spent[nonces[end.command_id]].append(end.quote_hash in executed)
    assert all(sum(taken) == 1 for taken in spent.values()), f"seed {seed}: one offer of a nonce settles"
    assert len({end.command_id for end in ends}) == len(ends), f"seed {seed}: one end each"
    return counted


def reasons(market: RandomMarket) -> Counter[str]:
    """What the decisions said."""
    return Counter(event.payload.reason or "accepted" for event in market.desk.topics[TRADE_DECISION.name])


def test_no_trade_carries_an_asset_out_of_its_band() -> None:
    """Nor further out of it than it was at first; several offers are open at a time, and a start can lie outside."""
    decided: Counter[str] = Counter()
    for seed in range(RUNS_BANDED):
        market = RandomMarket(seed, banded=True)
        market.run()
        decided += reasons(market)
        policy, balances = market.desk.policy, market.balances()
        bands = {BTC: (policy.base_min, policy.base_max, 8), EURE: (policy.quote_min, policy.quote_max, 18)}
        for token, (least, most, digits) in bands.items():
            amounts = [Decimal(each[token]).scaleb(-digits) for each in balances]
            assert least is None or min(amounts) >= min(least, amounts[0]), f"seed {seed}: {token} fell out of its band"
            assert most is None or max(amounts) <= max(most, amounts[0]), f"seed {seed}: {token} rose out of its band"
    assert min(decided["accepted"], decided[Refusal.INVENTORY_OUT_OF_BAND]) > RUNS_BANDED, decided


def judge_all(runs: int) -> None:
    total: Counter[str] = Counter()
    for seed in range(runs):
        total += judged(seed)
    print("\n".join(f"{times:>8} {what}" for what, times in sorted(total.items())))
    assert {"sharing", "ended settled", "ended lapsed", "ended spent"} <= total.keys(), total


def test_no_taker_finds_too_little() -> None:
    judge_all(RUNS)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_no_taker_finds_too_little_in_ten_thousand_runs() -> None:
    judge_all(RUNS_LONG)
