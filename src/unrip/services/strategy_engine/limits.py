"""Changing limits at run time, within the ceilings of the configuration."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from pydantic import Field, create_model

from unrip.domain.limits import Changeable, Declared, limits_of
from unrip.domain.policy import Policy
from unrip.domain.values import format_rate, parse_rate, shown
from unrip.frame.action import Action, ReasonBody
from unrip.frame.contract import Control, ControlRefused

#: How an unset bound is written and shown.
NO_BOUND = "none"
BOUND = f"Whole tokens, such as '0.05'; '{NO_BOUND}' takes the bound away."
RATE = "With its unit: '2.5 %' or '250 bps'."


class ThresholdBody(ReasonBody):
    """A new edge threshold, with its unit."""

    edge_threshold: str = Field(description=RATE)


#: Which way each limit tightens that an operator may change.
_KINDS = {each.name: each.limit for each in limits_of(Policy) if isinstance(each.limit, Changeable)}
_CHANGEABLE = {each.name: each for each in limits_of(Policy) if each.name in _KINDS}
LIMITS = tuple(_CHANGEABLE)


def _argument_of(declared: Declared) -> tuple[Any, Any]:
    """The type and the description of a limit that may be left out, for the body of an action."""
    if declared.limit.rate:
        return (str | None, Field(default=None, description=declared.limit.note or RATE))
    if declared.band:
        return (str | None, Field(default=None, description=BOUND))
    limit = declared.limit
    return (declared.type | None, Field(default=None, gt=limit.above, ge=limit.least, description=limit.note or None))


#: The limits that `limits` changes: the threshold has an action of its own.
_ARGUMENTS: dict[str, Any] = {
    name: _argument_of(declared) for name, declared in _CHANGEABLE.items() if name not in ThresholdBody.model_fields
}
LimitsBody = create_model(
    "LimitsBody", __base__=ReasonBody, __doc__="New limits; those left out stay as they are.", **_ARGUMENTS
)

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

#: The key under which a control record names the configured policy that the limits were changed from.
BASE = "policy_base"


def changed_policy(policy: Policy, control: Control) -> Policy:
    """The policy after a `threshold` or `limits` control.

    Raises:
        ControlRefused: a value cannot be read, or lies beyond what the configuration allows at run time.

    """
    for name in control.arguments:
        if name not in LIMITS:
            raise ControlRefused(f"{name} is no limit that can be changed at run time")
    try:
        changes = {name: _read(name, value) for name, value in control.arguments.items()}
        changed = msgspec.structs.replace(policy, **changes)
    except (ValueError, ArithmeticError) as error:
        raise ControlRefused(str(error)) from None
    if beyond := _beyond(changed):
        raise ControlRefused(beyond)
    return changed


def permitted(configured: Policy, recalled: Policy) -> Policy:
    """The limits that PostgreSQL has in force; the configuration's where they lie beyond it and it is tighter.

    An operator's change never went beyond the configuration, so whatever wrote such a row was none.
    """
    limited = msgspec.structs.replace(configured, **{name: getattr(recalled, name) for name in LIMITS})
    return tightest(configured, limited) if _beyond(limited) else limited


def _beyond(changed: Policy) -> str | None:
    """How limits lie beyond what the configuration allows at run time, as a sentence; None where they do not."""
    if changed.edge_per_sqrt_minute < 0:
        return "edge_per_sqrt_minute is negative: a longer offer would cost the taker less"
    return changed.beyond("limits.{} {} of the configuration")


def _read(name: str, value: Any) -> Any:
    """A limit in the type that the policy has it in."""
    declared = _CHANGEABLE[name]
    if declared.limit.rate:
        return parse_rate(value)
    return _read_bound(name, value) if declared.band else declared.type(value)


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
    return all(_strictness(changed, name) >= _strictness(policy, name) for name in LIMITS)


def tightest(one: Policy, other: Policy) -> Policy:
    """The policy that has, for each limit, the value that lets less through."""
    return msgspec.structs.replace(
        one,
        **{name: getattr(max(one, other, key=lambda each: _strictness(each, name)), name) for name in LIMITS},
    )


def _strictness(policy: Policy, name: str) -> Any:
    return _KINDS[name].strictness(getattr(policy, name))


def told_policy(configured: Policy, state: dict[str, str]) -> Policy | None:
    """The policy that a control record shows; None where it shows none, or was changed from another configured one."""
    if state.get(BASE) != configured.hash:
        return None
    try:
        return msgspec.structs.replace(configured, **{name: _read(name, state[name]) for name in LIMITS})
    except (KeyError, ValueError, ArithmeticError):
        return None


def policy_state(policy: Policy) -> dict[str, str]:
    """The changeable limits for a control record."""
    return {**{name: _written(name, getattr(policy, name)) for name in LIMITS}, "policy_hash": policy.hash}


def _written(name: str, limit: Any) -> str:
    if limit is None:
        return NO_BOUND
    return format_rate(limit) if _CHANGEABLE[name].limit.rate else str(limit)
