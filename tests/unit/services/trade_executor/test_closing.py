"""A nonce and its end: one call closes every offer, and what it tells is what the judgement accepts as a proof."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.ledgers import BTC, DEADLINE, NONCE_DEADLINE, an_offer
from unrip.domain.attempt import AttemptState, ChainEvidence, TradeResult
from unrip.domain.evidence import (
    Ended,
    Lapsed,
    Revoked,
    Settled,
    Spent,
    Voided,
    may_end_so,
    operator_may_say,
    proves,
)
from unrip.domain.values import Delta
from unrip.domain.verifier import VerifierFill
from unrip.services.trade_executor.effects import Finding, Lineage, RevocationTraced
from unrip.services.trade_executor.offers.nonce import Interest, LiveNonce, LiveOffer
from unrip.services.trade_executor.offers.revocation import Revocation

FIRST, SECOND = an_offer("1", amount=5, nonce="shared"), an_offer("2", amount=7, nonce="shared")
NOW = DEADLINE + timedelta(seconds=10)
USED = ChainEvidence(height=20, block_time=NOW, nonce_used=True, salt_valid=True)
UNUSED = ChainEvidence(height=20, block_time=NOW, nonce_used=False, salt_valid=True)
MOVED = msgspec.structs.replace(USED, compared_with=19, moved={BTC: Delta(-5)})
STILL = msgspec.structs.replace(USED, compared_with=19, moved={})
BY_WORD = msgspec.structs.replace(UNUSED, operator="ada")


def a_nonce(**known: Any) -> LiveNonce:
    lineage = Lineage(correlation_id="c", causation_id="c", stages={})
    offers = {offer.command_id: LiveOffer(offer=offer, lineage=lineage) for offer in (FIRST, SECOND)}
    return LiveNonce(nonce="shared", offers=offers, **known)


def a_fill(quote_hash: str) -> VerifierFill:
    return VerifierFill(quote_hash=quote_hash, tx_hash="tx-1", diff={BTC: Delta(-5)}, nonce="shared")


def a_revocation() -> Revocation:
    traced = RevocationTraced(nonce="shared", finding=Finding.REVOKED, intent_hash="ours", payload="{}", tx_hash="tx-2")
    return Revocation(payload="{}", traced=traced)


ENDS: dict[str, tuple[dict[str, Any], Ended, list[str]]] = {
    "a transaction": (
        {"fill": a_fill(FIRST.quote_hash)},
        Settled(taker=FIRST, evidence=USED),
        ["settled", "lapsed"],
    ),
    "the balances": ({}, Settled(taker=SECOND, evidence=MOVED), ["lapsed", "settled"]),
    "either": ({}, Spent(evidence=MOVED), ["spent", "spent"]),
    "a stranger by the logs": ({"fill": a_fill("another's")}, Voided(evidence=USED), ["voided", "voided"]),
    "a stranger by the balances": ({}, Voided(evidence=STILL), ["voided", "voided"]),
    "our revocation": ({"revocation": a_revocation()}, Revoked(evidence=USED), ["revoked", "revoked"]),
    "nobody": ({}, Lapsed(evidence=UNUSED), ["lapsed", "lapsed"]),
}


def proven(state: AttemptState, results: list[TradeResult], *, unproven: bool = False) -> bool:
    return proves(
        state,
        results,
        last_deadline=DEADLINE,
        nonce_deadline=NONCE_DEADLINE,
        own={FIRST.quote_hash, SECOND.quote_hash},
        unproven=unproven,
    )


@pytest.mark.parametrize("by", ENDS)
def test_one_call_ends_every_offer_as_the_evidence_proves(by: str) -> None:
    known, end, states = ENDS[by]
    live = a_nonce(**known)
    ending = live.close(end, NOW, None)
    results = [result for result, _chain in ending.results]
    assert [result.state for result in results] == states
    assert live.open == []
    assert proven(ending.state, results)
    assert may_end_so(ending.state, results)


@pytest.mark.parametrize("by", ENDS)
def test_no_end_is_proven_by_the_opposite_of_its_evidence(by: str) -> None:
    known, end, _states = ENDS[by]
    ending = a_nonce(**known).close(end, NOW, None)
    for result, _chain in ending.results:
        assert result.evidence is not None
        opposite = msgspec.structs.replace(result.evidence, nonce_used=not result.evidence.nonce_used)
        assert not proven(ending.state, [msgspec.structs.replace(result, evidence=opposite)])


def test_an_offer_of_our_own_did_not_void_its_nonce() -> None:
    ending = a_nonce(fill=a_fill(FIRST.quote_hash)).close(Voided(evidence=USED), NOW, None)
    assert not proven(ending.state, [result for result, _chain in ending.results])


def test_nothing_is_proven_without_results_or_evidence() -> None:
    assert not proven(AttemptState.LAPSED, [])
    (result, _chain), *_ = a_nonce().close(Lapsed(evidence=UNUSED), NOW, None).results
    assert not proven(AttemptState.LAPSED, [msgspec.structs.replace(result, evidence=None)])


@pytest.mark.parametrize("unproven", [True, False])
def test_an_operator_ends_only_what_no_block_proves(unproven: bool) -> None:
    ending = a_nonce().close(Settled(taker=FIRST, evidence=BY_WORD), NOW, "seen in the explorer")
    results = [result for result, _chain in ending.results]
    assert {result.reason for result in results} == {"seen in the explorer"}
    assert proven(ending.state, results, unproven=unproven) is unproven


@pytest.mark.parametrize(
    ("used", "late", "may"), [(False, -1, False), (False, 0, False), (False, 1, True), (True, -1, True)]
)
def test_an_operator_says_nothing_of_what_can_still_be_taken(used: bool, late: int, may: bool) -> None:
    at = DEADLINE + timedelta(seconds=late)
    evidence = msgspec.structs.replace(BY_WORD, block_time=at, nonce_used=used)
    assert operator_may_say(evidence, last_deadline=DEADLINE) is may
    ending = a_nonce().close(Lapsed(evidence=evidence), NOW, "gone")
    assert proven(ending.state, [result for result, _chain in ending.results], unproven=True) is may


@pytest.mark.parametrize(
    ("state", "told", "fits"),
    [
        ("settled", ["settled", "lapsed"], True),
        ("settled", ["settled", "settled"], False),
        ("settled", ["lapsed", "lapsed"], False),
        ("lapsed", ["lapsed", "voided"], False),
        ("spent", ["spent", "spent"], True),
    ],
)
def test_a_nonce_is_used_once(state: str, told: list[str], fits: bool) -> None:
    results = [result for result, _chain in a_nonce().close(Lapsed(evidence=UNUSED), NOW, None).results]
    ended = [msgspec.structs.replace(r, state=AttemptState(s)) for r, s in zip(results, told, strict=True)]
    assert may_end_so(AttemptState(state), ended) is fits


def test_what_is_known_of_one_nonce_is_asked_by_the_strongest_reason() -> None:
    live = a_nonce()
    early = DEADLINE - timedelta(minutes=1)
    assert not live.due(early)
    live.ask(Interest.ONCE)
    assert live.due(early)
    live.asked()
    assert not live.due(early)
    live.ask(Interest.UNTIL_ENDED)
    live.ask(Interest.ONCE)
    live.asked()
    assert live.due(early)
    live.close(Lapsed(evidence=UNUSED), NOW, None)
    assert not live.due(early)
