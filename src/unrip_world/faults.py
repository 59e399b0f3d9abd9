"""Faults as data: what is wrong now, set by the control endpoint or by a script.

A lasting fault stays until it is cleared (or `for_s` is over) and the cores look it up; a momentary one acts once.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from unrip_world.codec import NS_PER_S, decode_json
from unrip_world.verifier.fees import PIPS
from unrip_world.verifier.keys import parse_public_key
from unrip_world.verifier.message import check_token_id
from unrip_world.verifier.nonces import decode_nonce_text

NODES = ("rpc", "rpc2")
SERVICES = ("relay", *NODES, "bridge", "kraken", "coingecko")


class FaultError(ValueError):
    """The fault does not exist or has wrong parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """Parameters of a kind: name -> (type, default); a default of None makes it required."""

    parameters: Mapping[str, tuple[type, Any]]
    momentary: bool = False


def _lasting(**parameters: tuple[type, Any]) -> Spec:
    return Spec(parameters=parameters)


def _momentary(**parameters: tuple[type, Any]) -> Spec:
    return Spec(parameters=parameters, momentary=True)


_EVERYWHERE = {
    "down": _lasting(),
    "mute": _lasting(),
    "slow_ms": _lasting(ms=(int, None)),
    "disconnect": _momentary(close_code=(int, 1001), reason=(str, "")),
    "date_skew_ms": _lasting(ms=(int, None)),
    "http_status": _lasting(status=(int, 429), text=(str, ""), retry_after_s=(int, 0)),
}
#: Of a NEAR node; the two know nothing of each other's.
_OF_A_NODE = {
    "lag_blocks": _lasting(blocks=(int, None)),
    "timestamp_skew_ms": _lasting(ms=(int, None)),
    "height_shift": _lasting(by=(int, None)),
    "false_view": _lasting(method=(str, None), result=(str, None)),
    "hasty": _lasting(),
    "keep_blocks": _lasting(blocks=(int, None)),
}
_OWN: dict[str, dict[str, Spec]] = {
    "relay": {
        "refuse_handshake": _lasting(status=(int, 403)),
        "refuse_answers": _lasting(code=(int, -32000), message=(str, "internal error")),
        "refuse_publish": _lasting(reason=(str, "internal")),
        "stay_pending": _lasting(executed=(bool, False)),
        "forget_intents": _lasting(),
        "lose_replies": _lasting(),
        "lose_confirmations": _lasting(),
        "refuse_subscriptions": _lasting(guaranteed_only=(bool, False), message=(str, "internal error")),
        "duplicate_status": _lasting(),
        "drop_status": _lasting(),
        "delay_status_ms": _lasting(ms=(int, None)),
        "malformed_frame": _momentary(text=(str, None)),
        "wrong_status_tx": _lasting(tx_hash=(str, ""), also_right=(bool, False)),
        "false_status": _momentary(quote_hash=(str, "")),
        "withhold_settlement": _lasting(),
        "stranger": _lasting(after_ms=(int, 0)),
        "leak": _momentary(quote_hash=(str, "")),
    },
    "rpc": _OF_A_NODE,
    "rpc2": _OF_A_NODE,
    "bridge": {
        "other_addresses": _lasting(),
        "credit_in_steps": _lasting(),
        "end_withdrawals": _lasting(status=(str, "FAILED")),
    },
    "kraken": {
        "refuse_handshake": _lasting(status=(int, 429)),
        "rest_error": _lasting(error=(str, "EGeneral:Too many requests")),
        "freeze": _lasting(),
        "system_status": _lasting(status=(str, "maintenance")),
        "timestamp_skew_ms": _lasting(ms=(int, None)),
        "crossed": _lasting(),
        "zero": _lasting(side=(str, "bid")),
        "one_sided": _lasting(side=(str, "bid")),
        "price": _momentary(mid=(Decimal, None)),
    },
    "coingecko": {
        "freeze": _lasting(),
        "timestamp_skew_ms": _lasting(ms=(int, None)),
        "price_factor": _lasting(factor=(Decimal, None)),
        "eure_price": _lasting(price=(Decimal, None)),
    },
    "chain": {
        "reorg": _momentary(blocks=(int, None), requeue=(bool, False)),
        "final_lag": _lasting(blocks=(int, None)),
    },
    "verifier": {
        "pause": _lasting(),
        "lock": _lasting(account_id=(str, None)),
        "rotate_salt": _momentary(invalidate=(bool, False)),
        "set_fee": _momentary(pips=(int, None)),
        "add_key": _momentary(account_id=(str, None), public_key=(str, None)),
        "remove_key": _momentary(account_id=(str, None), public_key=(str, None)),
        "cleanup_nonces": _momentary(account_id=(str, None), nonces=(list, [])),
        "gift": _momentary(account_id=(str, None), token_id=(str, None), amount=(int, 1)),
        "withdraw": _momentary(account_id=(str, None), token_id=(str, None), amount=(int, 1)),
        "spend_nonces": _momentary(account_id=(str, None), nonces=(list, []), intents=(list, [])),
    },
}
KINDS: dict[str, dict[str, Spec]] = {
    service: (_EVERYWHERE if service in SERVICES else {}) | own for service, own in _OWN.items()
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault with checked parameters; `until_ns` is None for one that must be cleared."""

    service: str
    kind: str
    parameters: Mapping[str, Any]
    momentary: bool
    until_ns: int | None = None

    def listed(self) -> dict[str, object]:
        """Give the form in which `/faults` lists it."""
        return {"service": self.service, "kind": self.kind, **self.parameters}


def read_fault(body: Mapping[str, Any], *, now_ns: int) -> Fault:
    """Check a fault as written by a script or the control endpoint; raises FaultError."""
    rest = dict(body)
    service, kind, for_s = rest.pop("service", None), rest.pop("kind", None), rest.pop("for_s", None)
    spec = KINDS.get(str(service), {}).get(str(kind))
    if spec is None:
        raise FaultError(f"unknown fault {service}/{kind}; known: {_known(str(service))}")
    if unknown := sorted(set(rest) - set(spec.parameters)):
        raise FaultError(f"fault {service}/{kind} has no parameter {', '.join(unknown)}")
    parameters = {
        name: _parameter(name, rest.get(name, default), of) for name, (of, default) in spec.parameters.items()
    }
    until_ns = None if for_s is None else now_ns + int(_parameter("for_s", for_s, Decimal) * NS_PER_S)
    return Fault(
        service=str(service), kind=str(kind), parameters=parameters, momentary=spec.momentary, until_ns=until_ns
    )


def _known(service: str) -> str:
    kinds = KINDS.get(service)
    return f"services {', '.join(KINDS)}" if kinds is None else f"kinds {', '.join(kinds)}"


def _parameter(name: str, value: object, of: type) -> Any:
    if value is None:
        raise FaultError(f"parameter {name} is required")
    if of is Decimal and isinstance(value, (int, str, float, Decimal)) and not isinstance(value, bool):
        try:
            return Decimal(str(value))
        except ArithmeticError as error:
            raise FaultError(f"parameter {name} must be a decimal number") from error
    if not isinstance(value, of) or (of is int and isinstance(value, bool)):
        raise FaultError(f"parameter {name} must be of type {of.__name__}")
    if name in _CHECKS:
        _check(name, value)
    return value


def _check(name: str, value: object) -> None:
    try:
        _CHECKS[name](value)
    except (ValueError, TypeError) as error:
        raise FaultError(f"parameter {name}: {error}") from error


def _check_side(side: str) -> None:
    if side not in ("bid", "ask"):
        raise ValueError("must be bid or ask")


def _check_positive(number: int) -> None:
    if number <= 0:
        raise ValueError("must be positive")


def _check_not_negative(number: int) -> None:
    if number < 0:
        raise ValueError("must not be negative")


def _check_close_code(code: int) -> None:
    if not 1000 <= code < 5000:
        raise ValueError("must be from 1000 to 4999")


def _check_pips(pips: int) -> None:
    if not 0 <= pips <= PIPS:
        raise ValueError(f"must be from 0 to {PIPS}")


def _check_nonces(nonces: list[str]) -> None:
    for nonce in nonces:
        decode_nonce_text(nonce)


#: Parameters whose values are more than their type, by name. Each check raises ValueError or TypeError.
_CHECKS: dict[str, Callable[[Any], object]] = {
    "public_key": parse_public_key,
    "token_id": check_token_id,
    "amount": _check_positive,
    "side": _check_side,
    "blocks": _check_not_negative,
    "result": decode_json,
    "nonces": _check_nonces,
    "intents": json.dumps,
    "pips": _check_pips,
    "retry_after_s": _check_not_negative,
    "close_code": _check_close_code,
}


class Faults:
    """The lasting faults in force, at most one per service and kind."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], Fault] = {}

    def set(self, fault: Fault) -> None:
        """Put a lasting fault in force, replacing one of the same kind."""
        self._active[fault.service, fault.kind] = fault

    def clear(self, service: str, kind: str) -> Fault | None:
        """End a fault; returns what was ended."""
        return self._active.pop((service, kind), None)

    def get(self, service: str, kind: str) -> Mapping[str, Any] | None:
        """Parameters of the fault, if it is in force."""
        fault = self._active.get((service, kind))
        return None if fault is None else fault.parameters

    def active(self) -> list[Fault]:
        """All faults in force."""
        return list(self._active.values())

    def expired(self, now_ns: int) -> list[Fault]:
        """Faults whose time is over."""
        return [fault for fault in self._active.values() if fault.until_ns is not None and fault.until_ns <= now_ns]

    def next_expiry_ns(self) -> int | None:
        """When the next fault ends by itself."""
        return min((fault.until_ns for fault in self._active.values() if fault.until_ns is not None), default=None)
