"""The signed message and the intents that this world executes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unrip_world.codec import decode_json, rfc3339_to_ns
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.keys import PublicKey, is_account_id, parse_public_key
from unrip_world.verifier.nonces import decode_nonce_text
from unrip_world.verifier.payload import Envelope, SignedPayload

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_I128 = range(-(2**127), 2**127)
_U128 = range(2**128)
#: Order in which deltas are applied: by standard, then by contract.
_STANDARDS = ("nep141", "nep171", "nep245", "imt")
_KNOWN_BUT_ABSENT = frozenset(
    {
        "nft_withdraw",
        "mt_withdraw",
        "native_withdraw",
        "storage_deposit",
        "set_auth_by_predecessor_id",
        "auth_call",
        "imt_mint",
        "imt_burn",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenDiff:
    """A conditional swap: negative deltas are given, positive ones received, in order of application."""

    diff: dict[str, int]
    memo: str | None
    referral: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """An unconditional move inside the ledger."""

    receiver_id: str
    tokens: dict[str, int]
    memo: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FtWithdraw:
    """A nep141 token leaves the ledger; `token` has no prefix."""

    token: str
    receiver_id: str
    amount: int
    memo: str | None
    msg: str | None
    storage_deposit: int | None
    min_gas: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AddPublicKey:
    """Register a key for the signer."""

    public_key: PublicKey


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovePublicKey:
    """Remove a key from the signer."""

    public_key: PublicKey


Intent = TokenDiff | Transfer | FtWithdraw | AddPublicKey | RemovePublicKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What was signed, with nonce and contract from wherever the standard puts them."""

    signer_id: str
    verifying_contract: str
    nonce: bytes
    deadline_ns: int
    deadline: str
    intents: tuple[Intent, ...]


def decode_message(signed: SignedPayload) -> Message:
    """Read the signed text; raises PanicError with a `JSON: ` text, or naming an intent not modelled."""
    try:
        return _decode(signed)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PanicError(f"JSON: {error}") from error


def _decode(signed: SignedPayload) -> Message:
    body = _object(decode_json(signed.message), "message")
    envelope = signed.envelope or Envelope(
        nonce=decode_nonce_text(_string(body, "nonce")), recipient=_account(body, "verifying_contract")
    )
    intents = body.get("intents", [])
    if not isinstance(intents, list):
        raise TypeError("intents is not a list")
    deadline = _string(body, "deadline")
    deadline_ns = rfc3339_to_ns(deadline)
    if signed.timestamp_ns is not None and deadline_ns < signed.timestamp_ns:
        raise ValueError("deadline < timestamp")
    return Message(
        signer_id=_account(body, "signer_id"),
        verifying_contract=envelope.recipient,
        nonce=envelope.nonce,
        deadline_ns=deadline_ns,
        deadline=deadline,
        intents=tuple(_intent(_object(item, "intent")) for item in intents),
    )


def _intent(body: dict[str, Any]) -> Intent:
    kind = _string(body, "intent")
    if kind in _KNOWN_BUT_ABSENT:
        raise PanicError(f"unsupported intent '{kind}': this world does not model it")
    if kind not in _DECODERS:
        raise ValueError(f"unknown variant `{kind}`")
    return _DECODERS[kind](body)


def _token_diff(body: dict[str, Any]) -> TokenDiff:
    return TokenDiff(
        diff=_amounts(body, "diff", _I128), memo=_optional(body, "memo"), referral=_optional(body, "referral")
    )


def _transfer(body: dict[str, Any]) -> Transfer:
    return Transfer(
        receiver_id=_account(body, "receiver_id"), tokens=_amounts(body, "tokens", _U128), memo=_optional(body, "memo")
    )


def _ft_withdraw(body: dict[str, Any]) -> FtWithdraw:
    deposit = body.get("storage_deposit")
    return FtWithdraw(
        token=_account(body, "token"),
        receiver_id=_account(body, "receiver_id"),
        amount=_integer(body["amount"], _U128),
        memo=_optional(body, "memo"),
        msg=_optional(body, "msg"),
        storage_deposit=None if deposit is None else _integer(deposit, _U128),
        min_gas=_optional(body, "min_gas"),
    )


_DECODERS: dict[str, Callable[[dict[str, Any]], Intent]] = {
    "token_diff": _token_diff,
    "transfer": _transfer,
    "ft_withdraw": _ft_withdraw,
    "add_public_key": lambda body: AddPublicKey(public_key=parse_public_key(_string(body, "public_key"))),
    "remove_public_key": lambda body: RemovePublicKey(public_key=parse_public_key(_string(body, "public_key"))),
}


def check_token_id(text: str) -> str:
    """Return the text of a well-formed token id; raises ValueError."""
    standard, _, rest = text.partition(":")
    contract, _, token = rest.partition(":")
    needs_token = standard != "nep141"
    if standard not in _STANDARDS or not is_account_id(contract) or needs_token != bool(token):
        raise ValueError(f"invalid token id '{text}'")
    return text


def _amounts(body: dict[str, Any], field: str, bounds: range) -> dict[str, int]:
    amounts = {check_token_id(token): _integer(text, bounds) for token, text in _object(body[field], field).items()}
    return dict(sorted(amounts.items(), key=lambda item: (_STANDARDS.index(item[0].partition(":")[0]), item[0])))


def _integer(text: object, bounds: range) -> int:
    if not isinstance(text, str) or _INTEGER.fullmatch(text) is None:
        raise TypeError(f"invalid amount {text!r}: a decimal string of an integer is expected")
    value = int(text)
    if value not in bounds:
        raise ValueError("number too large to fit in target type")
    return value


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return value


def _string(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str):
        raise TypeError(f"field `{field}` is missing or not a string")
    return value


def _optional(body: dict[str, Any], field: str) -> str | None:
    return None if body.get(field) is None else _string(body, field)


def _account(body: dict[str, Any], field: str) -> str:
    value = _string(body, field)
    if not is_account_id(value):
        raise ValueError(f"invalid account id '{value}'")
    return value
