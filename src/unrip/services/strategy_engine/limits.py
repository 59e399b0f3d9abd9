"""Changing limits at run time, within the ceilings of the configuration."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from pydantic import Field

from unrip.domain.policy import Policy
from unrip.domain.values import format_rate, parse_rate
from unrip.service.contract import Control, ControlRefused
from unrip.service.http import Action, ReasonBody


class ThresholdBody(ReasonBody):
    """A new edge threshold, with its unit."""

    edge_threshold: str = Field(description="With its unit: '2.5 %' or '250 bps'.")


class LimitsBody(ReasonBody):
    """New limits; those left out stay as they are."""

    notional_cap_eur: Decimal | None = Field(default=None, gt=0)
    notional_floor_eur: Decimal | None = Field(default=None, ge=0)
    exposure_cap_eur: Decimal | None = Field(default=None, gt=0)
    day_result_min_eur: Decimal | None = Field(default=None, description="-10 stops at a loss of more than 10 EUR.")
    drawdown_max_eur: Decimal | None = Field(default=None, gt=0)
    offers_per_minute_max: int | None = Field(default=None, gt=0)
    unknown_max: int | None = Field(default=None, ge=0)
    edge_base: str | None = Field(default=None, description="With its unit: '2.5 %' or '250 bps'.")
    edge_per_sqrt_minute: str | None = Field(default=None, description="With its unit: '0.2 %' or '20 bps'.")


LIMIT_ACTIONS = (
    Action(name="threshold", body=ThresholdBody, summary="Set the gross edge below which nothing is offered."),
    Action(name="limits", body=LimitsBody, summary="Set the notional cap and other limits of the policy."),
)

_RATES = ("edge_threshold", "edge_base", "edge_per_sqrt_minute")
#: Limits that make the desk trade less when they are lowered, and those that do when they are raised.
_CAPS = ("notional_cap_eur", "exposure_cap_eur", "drawdown_max_eur", "offers_per_minute_max", "unknown_max")
_FLOORS = ("notional_floor_eur", "day_result_min_eur", *_RATES)
LIMITS = (*_CAPS, *_FLOORS)


def changed_policy(policy: Policy, control: Control) -> Policy:
    """The policy after a `threshold` or `limits` control.

    Raises:
        ControlRefused: a value cannot be read, or lies beyond what the configuration allows at run time.

    """
    try:
        changes = {
            name: parse_rate(value) if name in _RATES else type(getattr(policy, name))(value)
            for name, value in control.arguments.items()
        }
    except (ValueError, ArithmeticError) as error:
        raise ControlRefused(str(error)) from None
    changed = msgspec.structs.replace(policy, **changes)
    if changed.notional_cap_eur > policy.notional_ceiling_eur:
        raise ControlRefused(
            f"notional_cap_eur {changed.notional_cap_eur} is above limits.notional_ceiling_eur "
            f"{policy.notional_ceiling_eur} of the configuration"
        )
    for name in ("edge_threshold", "edge_base"):
        if getattr(changed, name) < policy.edge_floor:
            raise ControlRefused(
                f"{name} {format_rate(getattr(changed, name))} is below limits.edge_floor "
                f"{format_rate(policy.edge_floor)} of the configuration"
            )
    if changed.edge_per_sqrt_minute < 0:
        raise ControlRefused("edge_per_sqrt_minute is negative: a longer offer would cost the taker less")
    return changed


def tightens(policy: Policy, control: Control) -> bool:
    """Whether the change only ever makes the desk trade less; such a change is a brake and acts first."""
    try:
        changed = changed_policy(policy, control)
    except ControlRefused:
        return False
    return all(getattr(changed, name) <= getattr(policy, name) for name in _CAPS) and all(
        getattr(changed, name) >= getattr(policy, name) for name in _FLOORS
    )


def policy_state(policy: Policy) -> dict[str, str]:
    """The changeable limits as a control record shows them."""
    limits = {name: getattr(policy, name) for name in LIMITS}
    shown = {name: format_rate(limit) if name in _RATES else str(limit) for name, limit in limits.items()}
    return {**shown, "policy_hash": policy.hash}
