"""Mistakes that only a scene shows: each is found with its scene in the plan, and passes without it."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import msgspec

from simulation.planted import Patches, Planted, Trusting, patched
from unrip.domain import doubt, evidence
from unrip.domain.attempt import ChainEvidence
from unrip.domain.doubt import Doubt, Refused
from unrip.domain.evidence import Promise, Settled, Trace
from unrip.domain.treasury import DepositState
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import Published, PublishFailed
from unrip.frame.dependencies import Dependencies
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.venues.near_intents import bridge
from unrip.venues.near_intents.verifier import Verifier


def lost_role_is_kept() -> Patches:
    """Who has lost its role, or may have, hears nothing of it."""

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


def one_node_is_believed() -> Patches:
    """Nobody asks a second node."""

    def make(original: Any) -> Any:
        def init(self: Verifier, *arguments: Any, **named: Any) -> None:
            original(self, *arguments, **{**named, "cross_check": False})

        return init

    return [patched(Verifier, "__init__", make)]


def _any_time_is_believed() -> Patches:
    def make(original: Any) -> Any:
        def doubt_of(*arguments: Any, **named: Any) -> Refused | None:
            found: Refused | None = original(*arguments, **named)
            return None if found is not None and found.doubt is Doubt.CLOCK_SKEWED else found

        return doubt_of

    return [*one_node_is_believed(), patched(doubt, "doubt_of", make)]


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
    "role": Planted(
        mistake="a process that has lost its role goes on",
        patches=lost_role_is_kept,
        under={"hand_over": 1},
        breaks=("once",),
    ),
    "refused-record": Planted(
        mistake="a record that the broker refused counts as published",
        patches=_refused_records_count,
        under={"refused_record": 1},
        breaks=("class",),
    ),
    "pending": Planted(
        mistake="a deposit that has arrived is told as credited",
        patches=_what_arrives_is_credited,
        under={"deposit": 2},
        breaks=("moved",),
    ),
    "one-node": Planted(
        mistake="what one node says is believed although two are to be asked",
        patches=one_node_is_believed,
        under={"rpc/false_view": 2, "rpc/height_shift": 2},
        breaks=("evidence", "credited", "moved"),
    ),
    "any-time": Planted(
        mistake="what one node says is believed, whatever time it gives to its blocks",
        patches=_any_time_is_believed,
        make_ledger=Trusting,
        under={"rpc/timestamp_skew_ms": 1},
        breaks=("evidence", "moved"),
    ),
    "only-offer": Planted(
        mistake="a used nonce was taken by the only offer that carries it",
        patches=_the_only_offer_took_it,
        make_ledger=Trusting,
        under={"nonces_spent": 1},
        breaks=("evidence",),
    ),
}
