"""Steps of the treasury as other builds write them, in the words of this one.

Schema version 1 had the step's name as a string, and what belongs to it in a mapping of texts. A later build may know
steps that this one does not. Of both a record is kept and understood as far as possible, never refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, get_args

from unrip.domain.treasury import DepositState, Step, WithdrawalState

Document = dict[str, Any]

_KINDS = {each.__struct_config__.tag for each in get_args(Step)}
_STATES: dict[str, type[StrEnum]] = {"deposit": DepositState, "withdrawal": WithdrawalState}


def translated(payload: Any) -> Document | None:
    """The payload as this build would have written it; None where it should be of that form already."""
    if not isinstance(payload, dict):
        return None
    step = payload.get("step")
    if isinstance(step, str) and isinstance(payload.get("details"), dict):
        new = _of_version_1(step, payload, payload["details"])
    elif isinstance(step, dict) and _is_unknown(step):
        new = _other(_name_of(step), step)
    else:
        return None
    return {"action_id": payload.get("action_id"), "account": payload.get("account"), "step": new}


def _of_version_1(name: str, payload: Document, details: Document) -> Document:
    place = {"chain": payload.get("chain"), "asset_id": payload.get("asset_id")}
    movement = place | {
        "amount": payload.get("amount"),
        "address": details.get("address", ""),
        "status": details.get("status", ""),
    }
    steps: Mapping[str, Document] = {
        **{
            f"deposit_{state}": {
                "kind": "deposit",
                "state": state,
                **movement,
                "tx_hash": details.get("tx_hash") or None,
                "mint_tx_hash": details.get("mint_tx_hash") or None,
            }
            for state in DepositState
        },
        **{
            f"withdrawal_{state}": {
                "kind": "withdrawal",
                "state": state,
                **movement,
                "transfer_tx_hash": details.get("transfer_tx_hash") or None,
            }
            for state in WithdrawalState
        },
        "address_issued": {"kind": "address_issued", **place, "address": details.get("address")},
        "address_changed": {
            "kind": "address_changed",
            **place,
            "address": details.get("address"),
            "other": details.get("other"),
        },
        "address_accepted": {
            "kind": "address_accepted",
            **place,
            "address": details.get("address"),
            "actor": details.get("actor", ""),
        },
        "refresh": {"kind": "refresh", "actor": details.get("actor", "")},
    }
    found = steps.get(name)
    optional = {"tx_hash", "mint_tx_hash", "transfer_tx_hash"}
    if found is None or any(value is None for field, value in found.items() if field not in optional):
        return _other(name, {key: payload.get(key) for key in ("step", "asset_id", "chain", "amount", "details")})
    return found


def _is_unknown(step: Document) -> bool:
    """Whether its kind, or its state, is a word that this build does not have."""
    kind, state = step.get("kind"), step.get("state")
    if not isinstance(kind, str):
        return False
    return kind not in _KINDS or (kind in _STATES and isinstance(state, str) and state not in set(_STATES[kind]))


def _name_of(step: Document) -> str:
    state = step.get("state")
    return f"{step['kind']}_{state}" if isinstance(state, str) else str(step["kind"])


def _other(name: str, step: Document) -> Document:
    return {"kind": "other", "name": name, "text": json.dumps(step, separators=(",", ":"), ensure_ascii=False)}
