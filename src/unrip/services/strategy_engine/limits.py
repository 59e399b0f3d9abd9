"""Changing limits at run time, within the ceilings of the configuration."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from pydantic import Field

from unrip.domain.policy import Policy
from unrip.domain.values import format_rate, parse_rate, shown
from unrip.service.action import Action, ReasonBody
from unrip.service.contract import Control, ControlRefused


class ThresholdBody(ReasonBody):
    """A new edge threshold, with its unit."""

    edge_threshold: str = Field(description="With its unit: '2.5 %' or '250 bps'.")


#: How a bound that is not set is written and shown.
NO_BOUND = "none"
BOUND = f"Whole tokens, such as '0.05'; '{NO_BOUND}' takes the bound away."


class LimitsBody(ReasonBody):
    """New limits; those left out stay as they are."""

    notional_cap_eur: Decimal | None = Field(default=None, gt=0)
    notional_floor_eur: Decimal | None = Field(default=None, ge=0)
    exposure_cap_eur: Decimal | None = Field(default=None, gt=0)
    day_result_min_eur: Decimal | None = Field(default=None, description="-10 stops at a loss of more than 10 EUR.")
    drawdown_max_eur: Decimal | None = Field(default=None, gt=0)
    base_min: str | None = Field(default=None, description=BOUND)
    base_max: str | None = Field(default=None, description=BOUND)
    quote_min: str | None = Field(default=None, description=BOUND)
    quote_max: str | None = Field(default=None, description=BOUND)
    offers_per_minute_max: int | None = Field(default=None, gt=0)
    unknown_max: int | None = Field(default=None, ge=0)
    edge_base: str | None = Field(default=None, description="With its unit: '2.5 %' or '250 bps'.")
    edge_per_sqrt_minute: str | None = Field(default=None, description="With its unit: '0.2 %' or '20 bps'.")


LIMIT_ACTIONS = (
    Action(
        name="threshold",
        body=ThresholdBody,
        summary="Set the gross edge below which nothing is offered.",
        log_event="limits_changed",
    ),
    Action(
        name="limits",
        body=LimitsBody,
        summary="Set the notional cap and other limits of the policy.",
        log_event="limits_changed",
    ),
)

_RATES = ("edge_threshold", "edge_base", "edge_per_sqrt_minute")
#: Limits that make the desk trade less when they are lowered, and those that do when they are raised.
_CAPS = ("notional_cap_eur", "exposure_cap_eur", "drawdown_max_eur", "offers_per_minute_max", "unknown_max")
_FLOORS = ("notional_floor_eur", "day_result_min_eur", *_RATES)
#: Bounds of the inventory bands, each of which may be missing.
_UPPER_BOUNDS = ("base_max", "quote_max")
_LOWER_BOUNDS = ("base_min", "quote_min")
_BOUNDS = (*_LOWER_BOUNDS, *_UPPER_BOUNDS)
LIMITS = (*_CAPS, *_FLOORS, *_BOUNDS)
#: Under this name a control record says which configured policy the limits were changed from.
BASE = "policy_base"


def changed_policy(policy: Policy, control: Control) -> Policy:
    """The policy after a `threshold` or `limits` control.

    Raises:
        ControlRefused: a value cannot be read, or lies beyond what the configuration allows at run time.

    """
    try:
        changes = {name: _read(policy, name, value) for name, value in control.arguments.items()}
        changed = msgspec.structs.replace(policy, **changes)
    except (ValueError, ArithmeticError) as error:
        raise ControlRefused(str(error)) from None
    if beyond := _beyond(changed):
        raise ControlRefused(beyond)
    return changed


def permitted(configured: Policy, recalled: Policy) -> Policy:
    """Of what PostgreSQL has as in force the limits, and of those beyond what the configuration allows the tighter.

    An operator's change never went beyond it; whatever wrote that row was none.
    """
    limited = msgspec.structs.replace(configured, **{name: getattr(recalled, name) for name in LIMITS})
    return tightest(configured, limited) if _beyond(limited) else limited


def _beyond(changed: Policy) -> str | None:
    """How limits lie beyond what the configuration allows at run time, in words; None where they do not."""
    if changed.notional_cap_eur > changed.notional_ceiling_eur:
        return (
            f"notional_cap_eur {changed.notional_cap_eur} is above limits.notional_ceiling_eur "
            f"{changed.notional_ceiling_eur} of the configuration"
        )
    for name in ("edge_threshold", "edge_base"):
        if getattr(changed, name) < changed.edge_floor:
            return (
                f"{name} {format_rate(getattr(changed, name))} is below limits.edge_floor "
                f"{format_rate(changed.edge_floor)} of the configuration"
            )
    if changed.edge_per_sqrt_minute < 0:
        return "edge_per_sqrt_minute is negative: a longer offer would cost the taker less"
    return changed.crossed_band()


def _read(policy: Policy, name: str, value: Any) -> Any:
    """A limit in the type that the policy has it in."""
    if name in _RATES:
        return parse_rate(value)
    return _read_bound(name, value) if name in _BOUNDS else type(getattr(policy, name))(value)


def _read_bound(name: str, text: str) -> Decimal | None:
    try:
        bound = None if text == NO_BOUND else Decimal(text)
        if bound is None or bound >= 0:
            return bound
    except ArithmeticError:
        pass
    raise ValueError(f"{name} {shown(text)}: write whole tokens, such as 0.05, or {NO_BOUND}")


def tightens(policy: Policy, control: Control) -> bool:
    """Whether the change only ever makes the desk trade less; such a change is a brake and acts first."""
    try:
        changed = changed_policy(policy, control)
    except ControlRefused:
        return False
    return (
        all(getattr(changed, name) <= getattr(policy, name) for name in _CAPS)
        and all(getattr(changed, name) >= getattr(policy, name) for name in _FLOORS)
        and all(_upper(changed, name) <= _upper(policy, name) for name in _UPPER_BOUNDS)
        and all(_lower(changed, name) >= _lower(policy, name) for name in _LOWER_BOUNDS)
    )


def tightest(one: Policy, other: Policy) -> Policy:
    """Of each limit the one that lets less through."""
    return msgspec.structs.replace(
        one,
        **{name: min(getattr(one, name), getattr(other, name)) for name in _CAPS},
        **{name: max(getattr(one, name), getattr(other, name)) for name in _FLOORS},
        **{name: getattr(min(one, other, key=lambda each: _upper(each, name)), name) for name in _UPPER_BOUNDS},
        **{name: getattr(max(one, other, key=lambda each: _lower(each, name)), name) for name in _LOWER_BOUNDS},
    )


def told_policy(configured: Policy, state: dict[str, str]) -> Policy | None:
    """The policy that a control record shows, None where it does not, or was changed from another configured one."""
    if state.get(BASE) != configured.hash:
        return None
    try:
        return msgspec.structs.replace(configured, **{name: _read(configured, name, state[name]) for name in LIMITS})
    except (KeyError, ValueError, ArithmeticError):
        return None


def _upper(policy: Policy, name: str) -> Decimal:
    bound: Decimal | None = getattr(policy, name)
    return Decimal("Infinity") if bound is None else bound


def _lower(policy: Policy, name: str) -> Decimal:
    """No bound lets more through than one of nothing: what a ledger promises may for a while be more than it has."""
    bound: Decimal | None = getattr(policy, name)
    return Decimal("-Infinity") if bound is None else bound


def policy_state(policy: Policy) -> dict[str, str]:
    """The changeable limits as a control record shows them."""
    return {**{name: _written(name, getattr(policy, name)) for name in LIMITS}, "policy_hash": policy.hash}


def _written(name: str, limit: Any) -> str:
    if limit is None:
        return NO_BOUND
    return format_rate(limit) if name in _RATES else str(limit)
