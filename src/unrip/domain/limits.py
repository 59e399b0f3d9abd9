"""What is declared of a limit, once: its bounds, how it is written, and which way it tightens.

The declaration stands beside the field of the policy. The settings, what an operator may change, whether a change is a
brake and what `/state` shows follow from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import msgspec

from unrip.domain.values import Value


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit that only a restart changes."""

    #: Its smallest value.
    least: int | None = None
    #: A bound that it must be above.
    above: int | None = None
    #: Whether it is a fraction that people write as a rate with its unit, and never below 0.
    rate: bool = False
    #: What an operator who changes it has to know.
    note: str = ""


class Changeable(Limit, ABC):
    """A limit that an operator may change at run time: it is a cap or a floor, so that what loosens it is known."""

    @abstractmethod
    def strictness(self, limit: Any) -> Any:
        """A number that is larger the less the limit lets through."""


class Cap(Changeable):
    """A limit that lets less through when lowered; without it everything passes."""

    def strictness(self, limit: Any) -> Any:
        """See `Changeable`."""
        return _UNBOUNDED if limit is None else Decimal(limit).copy_negate()  # exact, as `-limit` is not


class Floor(Changeable):
    """A limit that lets less through when raised.

    Without it more passes than with a floor of nothing: a ledger may for a while promise more than it has.
    """

    def strictness(self, limit: Any) -> Any:
        """See `Changeable`."""
        return _UNBOUNDED if limit is None else limit


_UNBOUNDED = Decimal("-Infinity")


class Declared(Value):
    """One limit as its policy declares it."""

    name: str
    #: `Decimal`, `int` or `bool`.
    type: type
    limit: Limit
    default: Any
    #: Whether it bounds a band of the inventory, and may be missing.
    band: bool


def limits_of(policy: type[Value]) -> tuple[Declared, ...]:
    """Every limit of a policy, in the order of its fields."""
    return tuple(_declared(field) for field in msgspec.structs.fields(policy))


def _declared(field: msgspec.structs.FieldInfo) -> Declared:
    plain, *marks = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
    (limit,) = marks or (Limit(),)
    (kind,) = {*(get_args(plain) or (plain,))} - {NoneType}
    return Declared(name=field.name, type=kind, limit=limit, default=field.default, band=NoneType in get_args(plain))
