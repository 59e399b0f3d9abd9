"""The decision: one pure function for both directions.

`decide` asks every guard, names the first that refuses and records them all; an accepted decision contains its command
whole. Nothing here reads a clock or makes an id: the same case gives the same bytes, also years later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from unrip.domain.case import Case
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.guards import ask_all
from unrip.domain.pricing import implied_rate
from unrip.domain.sharing import NonceChoice, group_deadline
from unrip.domain.values import Amount, Delta, Value, decimal_of, derived_id, epoch_ms

#: Writes the venue's nonce from salt (8 hex digits), deadline (milliseconds since 1970) and its 15 free bytes.
NonceEncoder = Callable[[str, int, bytes], str]


class DemandPlace(Value):
    """Where in its topic a demand stands."""

    topic_id: str
    offset: int


def command_id_of(quote_id: str) -> str:
    """The id of the only command a quote can ever have."""
    return derived_id("command", quote_id)


def nonce_free_bytes(command_id: str) -> bytes:
    """The 15 free bytes of a nonce: a pure function of the id of the command that opens it.

    So a second executor, even on another database, signs with the same nonce, and the contract itself refuses a second
    use (blueprint, section 5).
    """
    return hashlib.sha256(f"unrip nonce of command {command_id}".encode()).digest()[:15]


def decide(case: Case, place: DemandPlace, *, account: str, encode_nonce: NonceEncoder) -> Decision:
    """Decide about one demand, from values only."""
    guards = ask_all(case)
    reason = next((guard.reason for guard in guards if not guard.passed), None)
    decision_id = derived_id("decision", case.demand.quote_id)
    price = case.price.value if case.price else None
    return Decision(
        decision_id=decision_id,
        demand_id=case.demand.demand_id,
        quote_id=case.demand.quote_id,
        pair=case.demand.pair,
        direction=case.demand.direction,
        accepted=reason is None,
        reason=reason,
        guards=guards,
        decided_at=case.now,
        demand_topic_id=place.topic_id,
        demand_offset=place.offset,
        price_id=case.price.event_id if case.price else None,
        inventory_id=case.inventory.event_id if case.inventory else None,
        policy_hash=case.policy.hash,
        desk=case.desk,
        price_source=case.price_source,
        price_age_ms=case.price_age_ms,
        price_degraded=case.price_degraded,
        inventory_age_ms=case.inventory_age_ms,
        quote_asset_eur=price.quote_asset_eur if price else None,
        fair_rate=case.fair_rate,
        implied_rate=_rate(case),
        gross_edge=None if case.gross_edge is None else decimal_of(case.gross_edge),
        edge_threshold=case.edge_threshold,
        notional_eur=None if case.notional_eur is None else decimal_of(case.notional_eur),
        required=case.proposal.amount_out if case.proposal else None,
        spendable=None if case.spendable is None else Delta(case.spendable),
        command=_command(case, decision_id, account, encode_nonce) if reason is None else None,
        price_fallback=case.price_fallback,
        traded=case.pair,
    )


def _rate(case: Case) -> Decimal | None:
    if case.proposal is None:
        return None
    return decimal_of(implied_rate(case.pair, case.demand.direction, case.proposal))


def _command(case: Case, decision_id: str, account: str, encode_nonce: NonceEncoder) -> TradeCommand:
    """The command of an accepted case: every part is known there, or a guard would have refused."""
    proposal, snapshot, fair_rate, choice = case.proposal, case.inventory, case.fair_rate, case.nonce
    if proposal is None or snapshot is None or fair_rate is None or choice is None:
        raise AssertionError("an accepted case has a proposal, a snapshot, a fair rate and a nonce")
    command_id = command_id_of(case.demand.quote_id)
    opener = choice.joined.opener if choice.joined else None
    nonce_deadline = _nonce_deadline(case, choice)
    salt = snapshot.value.salt
    return TradeCommand(
        command_id=command_id,
        decision_id=decision_id,
        quote_id=case.demand.quote_id,
        account=account,
        pair=case.demand.pair,
        direction=case.demand.direction,
        asset_in=case.demand.asset_in,
        asset_out=case.demand.asset_out,
        amount_in=proposal.amount_in,
        amount_out=proposal.amount_out,
        exact_in=case.demand.amount_in is not None,
        answer_by=min(case.demand.answer_by, case.offer_deadline),
        offer_deadline=case.offer_deadline,
        salt=salt,
        nonce=encode_nonce(salt, epoch_ms(nonce_deadline), nonce_free_bytes(opener or command_id)),
        nonce_deadline=nonce_deadline,
        nonce_opener=opener,
        nonce_group=choice.group,
        fair_rate=fair_rate,
        gross_edge=decimal_of(case.gross_edge or Fraction(0)),
        edge_threshold=case.edge_threshold,
        notional_eur=decimal_of(case.notional_eur or Fraction(0)),
        inventory_id=snapshot.event_id,
        inventory_height=snapshot.value.height,
        inventory_credited=snapshot.value.credited.get(case.demand.asset_out, Amount(0)),
        generation=case.desk.generation,
        policy_hash=case.policy.hash,
    )


def _nonce_deadline(case: Case, choice: NonceChoice) -> datetime:
    """When the nonce ends; one that others may join has one deadline for all of them (blueprint, section 5)."""
    if choice.group is not None:
        return group_deadline(case.now, case.policy)
    return case.offer_deadline + timedelta(milliseconds=case.policy.nonce_life_ms)
