"""Mistakes that only a scene shows: each is found with its scene in the plan, and passes without it."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import msgspec

from simulation.planted import Patches, Planted, Trusting, patched
from unrip.domain import evidence
from unrip.domain.attempt import ChainEvidence, Drop, Offer
from unrip.domain.evidence import Promise, Settled, Trace
from unrip.domain.treasury import DepositState
from unrip.domain.verifier import VerifierReading
from unrip.service.contract import Published, PublishFailed
from unrip.service.dependencies import Dependencies
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.trade_executor.offers import relay_traffic
from unrip.venues.near_intents import bridge
from unrip.venues.near_intents.verifier import Verifier


def _windows_are_not_looked_at() -> Patches:
    def make(original: Any) -> Any:
        def given_up(offer: Offer, *rest: Any, **named: Any) -> Drop | None:
            found: Drop | None = original(offer, *rest, **named)
            return None if found is Drop.WINDOW_CLOSED else found

        return given_up

    return [patched(relay_traffic, "given_up", make)]


def _a_lost_role_is_kept() -> Patches:
    def make(original: Any) -> Any:
        def role_changed(self: Dependencies, active: bool, generation: int | None) -> None:  # noqa: FBT001 - as there
            if active:
                original(self, active, generation)

        return role_changed

    return [
        patched(Dependencies, "role_changed", make),
        patch.object(Dependencies, "doubt_role", lambda _self: None),
    ]


def _refused_records_count() -> Patches:
    def make(original: Any) -> Any:
        def on_delivery(self: StrategyEngine, event: Any, *rest: Any) -> Any:
            if isinstance(event, PublishFailed):
                event = Published(token=event.token, offset=0)
            return original(self, event, *rest)

        return on_delivery

    return [patched(StrategyEngine, "_on_delivery", make)]


def _what_arrives_is_credited() -> Patches:
    def make(original: Any) -> Any:
        def deposit(*arguments: Any, **named: Any) -> Any:
            read = original(*arguments, **named)
            pending = read.state is DepositState.PENDING
            return msgspec.structs.replace(read, state=DepositState.CREDITED) if pending else read

        return deposit

    return [patched(bridge, "_deposit", make)]


def _one_node_is_believed() -> Patches:
    def make(original: Any) -> Any:
        def init(self: Verifier, *arguments: Any, **named: Any) -> None:
            original(self, *arguments, **{**named, "cross_check": False})

        return init

    return [patched(Verifier, "__init__", make)]


def _the_only_offer_took_it() -> Patches:
    def make(original: Any) -> Any:
        def judge_use(promise: Promise, block: VerifierReading, proof: ChainEvidence, **named: Any) -> Any:
            if len(promise.offers) == 1 and promise.trace is Trace.NONE:
                return Settled(taker=promise.offers[0], evidence=proof)
            return original(promise, block, proof, **named)

        return judge_use

    return [patched(evidence, "_judge_use", make)]


#: By a short name, in the order of docs/simulation.md.
UNDER_SCENES = {
    "late-answer": Planted(
        mistake="an answer is sent although its window has closed while its claim was committed",
        patches=_windows_are_not_looked_at,
        scene="stall",
        seed=9,
        breaks=("late",),
    ),
    "role": Planted(
        mistake="a process that has lost its role goes on",
        patches=_a_lost_role_is_kept,
        scene="hand_over",
        seed=4,
        breaks=("once",),
    ),
    "refused-record": Planted(
        mistake="a record that the broker refused counts as published",
        patches=_refused_records_count,
        scene="refused_record",
        seed=1,
        breaks=("class",),
    ),
    "pending": Planted(
        mistake="a deposit that has arrived is told as credited",
        patches=_what_arrives_is_credited,
        scene="deposit",
        seed=2,
        breaks=("moved",),
    ),
    "one-node": Planted(
        mistake="what one node says is believed although two are to be asked",
        patches=_one_node_is_believed,
        scene="rpc/false_view",
        seed=2,
        breaks=("evidence",),
    ),
    "only-offer": Planted(
        mistake="a used nonce was taken by the only offer that carries it",
        patches=_the_only_offer_took_it,
        make_ledger=Trusting,
        scene="nonces_spent",
        seed=4,
        breaks=("evidence",),
    ),
}
