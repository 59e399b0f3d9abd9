"""The proof that the contract would take our offers: what it says stands in the way by name, or nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from support.cases import ACCOUNT, BTC, EURE, NOW, PAIR
from support.executor import a_reading
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierReading
from unrip.frame.asking import Ask
from unrip.services.trade_executor.effects import AuthorityJudged, ProveAuthority
from unrip.services.trade_executor.handlers.signer import SignerHandlers
from unrip.venues.near_intents.rpc import RpcUnavailable
from unrip.venues.near_intents.signer import Signer
from unrip.venues.near_intents.verifier import Simulation, Verifier

NOTHING = {BTC.asset_id: Amount(0), EURE.asset_id: Amount(0)}


class Chain(Verifier):
    """One reading, and what the contract says to a simulated offer."""

    def __init__(self, reading: VerifierReading | None, refusal: str | None = None) -> None:
        self._reading = reading
        self._refusal = refusal
        self.simulated: list[dict[str, Any]] = []

    async def read(self, **_question: Any) -> VerifierReading:
        if self._reading is None:
            raise RpcUnavailable("no node answers")
        return self._reading

    async def simulate(self, signed: Sequence[dict[str, Any]]) -> Simulation:
        self.simulated += signed
        return Simulation(refusal=self._refusal, unmatched={}, current_salt=None, fee_pips=None)


async def proof(chain: Chain) -> AuthorityJudged:
    told: asyncio.Queue[Any] = asyncio.Queue()
    signer = Signer(bytes(range(32)), verifying_contract="intents.near")
    desk = SignerHandlers(
        signer,
        chain,
        pair=PAIR,
        account=ACCOUNT,
        ask=Ask(start=asyncio.ensure_future, emit=told.put_nowait),
        clock=lambda: NOW,
    )
    desk.prove(ProveAuthority())
    judged: AuthorityJudged = await asyncio.wait_for(told.get(), 5)
    return judged


@pytest.mark.parametrize(
    ("chain", "proven", "reason", "simulated"),
    [
        (Chain(a_reading()), True, "a simulated offer passed every check", 1),
        (Chain(a_reading(credited={**NOTHING, BTC.asset_id: Amount(1)})), True, "a simulated offer passed", 1),
        (Chain(a_reading(), "invalid salt"), False, "the verifier refuses our offers: invalid salt", 1),
        (Chain(a_reading(credited=NOTHING)), True, "no inventory to simulate an offer with", 0),
        (Chain(a_reading(key_registered=False)), False, "the key is not registered", 0),
        (Chain(a_reading(account_locked=True)), False, "the account is locked", 0),
        (Chain(None), False, "the verifier could not be asked: no node answers", 0),
    ],
    ids=["passes", "one asset only", "refused", "nothing to offer", "no key", "locked", "nobody answers"],
)
async def test_a_proof_names_what_stands_in_the_way(chain: Chain, proven: bool, reason: str, simulated: int) -> None:
    judged = await proof(chain)
    assert (judged.proven, reason in judged.reason, len(chain.simulated)) == (proven, True, simulated)
