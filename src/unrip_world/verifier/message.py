"""The signed message and the intents that this world executes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unrip_world.codec import decode_json, rfc3339_to_ns
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fields import (
    I128,
    U64,
    U128,
    account_of,
    field_of,
    integer_in,
    integer_of,
    object_of,
    optional_account_of,
    optional_integer_of,
    optional_text_of,
    text_of,
)
from unrip_world.verifier.keys import PublicKey, is_account_id, parse_public_key
from unrip_world.verifier.nonces import decode_nonce_text
from unrip_world.verifier.payload import Envelope, SignedPayload

#: Order in which deltas are applied: by standard, then by contract.
_STANDARDS = ("nep141", "nep171", "nep245", "imt")
#: Of the part after the contract.
_TOKEN_BYTES_MAX = 127
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
    """An unconditional move inside the verifier."""

    receiver_id: str
    tokens: dict[str, int]
    memo: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FtWithdraw:
    """A nep141 token leaves the verifier; `token` has no prefix."""

    token: str
    receiver_id: str
    amount: int
    memo: str | None
    msg: str | None
    storage_deposit: int | None
    min_gas: int | None


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
    body = object_of(decode_json(signed.message), "message")
    envelope = signed.envelope or Envelope(
        nonce=decode_nonce_text(text_of(body, "nonce")), recipient=account_of(body, "verifying_contract")
    )
    intents = field_of(body, "intents") if "intents" in body else []
    if not isinstance(intents, list):
        raise TypeError("intents is not a list")
    deadline = text_of(body, "deadline")
    deadline_ns = rfc3339_to_ns(deadline)
    if signed.timestamp_ns is not None and deadline_ns < signed.timestamp_ns:
        raise ValueError("deadline < timestamp")
    return Message(
        signer_id=account_of(body, "signer_id"),
        verifying_contract=envelope.recipient,
        nonce=envelope.nonce,
        deadline_ns=deadline_ns,
        deadline=deadline,
        intents=tuple(_intent(object_of(item, "intent")) for item in intents),
    )


def _intent(body: dict[str, Any]) -> Intent:
    kind = text_of(body, "intent")
    if kind in _KNOWN_BUT_ABSENT:
        raise PanicError(f"unsupported intent '{kind}': this world does not model it")
    if kind not in _DECODERS:
        raise ValueError(f"unknown variant `{kind}`")
    return _DECODERS[kind](body)


def _token_diff(body: dict[str, Any]) -> TokenDiff:
    return TokenDiff(
        diff=_amounts(body, "diff", I128),
        memo=optional_text_of(body, "memo"),
        referral=optional_account_of(body, "referral"),
    )


def _transfer(body: dict[str, Any]) -> Transfer:
    # A receiver that is told (`msg`) is not modelled; a wrong type is refused all the same.
    optional_text_of(body, "msg")
    optional_integer_of(body, "min_gas", U64)
    return Transfer(
        receiver_id=account_of(body, "receiver_id"),
        tokens=_amounts(body, "tokens", U128),
        memo=optional_text_of(body, "memo"),
    )


def _ft_withdraw(body: dict[str, Any]) -> FtWithdraw:
    return FtWithdraw(
        token=account_of(body, "token"),
        receiver_id=account_of(body, "receiver_id"),
        amount=integer_of(body, "amount", U128),
        memo=optional_text_of(body, "memo"),
        msg=optional_text_of(body, "msg"),
        storage_deposit=optional_integer_of(body, "storage_deposit", U128),
        min_gas=optional_integer_of(body, "min_gas", U64),
    )


_DECODERS: dict[str, Callable[[dict[str, Any]], Intent]] = {
    "token_diff": _token_diff,
    "transfer": _transfer,
    "ft_withdraw": _ft_withdraw,
    "add_public_key": lambda body: AddPublicKey(public_key=parse_public_key(text_of(body, "public_key"))),
    "remove_public_key": lambda body: RemovePublicKey(public_key=parse_public_key(text_of(body, "public_key"))),
}


def check_token_id(text: str) -> str:
    """Return the text of a well-formed token id; raises ValueError."""
    standard, _, rest = text.partition(":")
    contract, colon, token = rest.partition(":")
    whole = not colon if standard == "nep141" else bool(token)
    if standard not in _STANDARDS or not is_account_id(contract) or not whole:
        raise ValueError(f"invalid token id '{text}'")
    return text


def check_token_length(token_id: str) -> str:
    """Refuse a token id that the verifier does not take in; one in a `diff` may be longer. Raises PanicError."""
    length = len(token_id.split(":", 2)[-1].encode()) if token_id.count(":") > 1 else 0
    if length > _TOKEN_BYTES_MAX:
        raise PanicError(f"token_id is too long: max length is {_TOKEN_BYTES_MAX}, got {length}")
    return token_id


def _amounts(body: dict[str, Any], field: str, bounds: range) -> dict[str, int]:
    # Of a token that stands twice the last amount counts (protocol: intents and signing, section 11).
    told = object_of(field_of(body, field), field)
    amounts = {check_token_id(token): integer_in(text, bounds) for token, text in told.items()}
    return dict(sorted(amounts.items(), key=lambda item: (_STANDARDS.index(item[0].partition(":")[0]), item[0])))
