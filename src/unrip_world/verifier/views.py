"""The contract's read methods, by name, over one moment of its storage."""

from collections.abc import Callable
from itertools import islice
from typing import Any

from unrip_world.verifier.engine import has_key
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fields import (
    U32,
    U128,
    account_of,
    field_of,
    optional_integer_of,
    salt_in,
    text_of,
    texts_of,
)
from unrip_world.verifier.keys import PublicKey, parse_public_key
from unrip_world.verifier.nonces import decode_nonce_text
from unrip_world.verifier.state import BALANCES, KEYS, LOCKS, NONCES, SALTS, SETTINGS, Reader

Arguments = dict[str, Any]


def call_view(state: Reader, method: str, arguments: Arguments) -> object:
    """Answer a view call; raises PanicError for bad arguments and KeyError for an unknown method."""
    view = _VIEWS[method]
    try:
        return view(state, arguments)
    except (TypeError, ValueError) as error:
        raise PanicError(f"Failed to deserialize input from JSON.: {error!s}") from error


def _balance(state: Reader, account: str, token: str) -> str:
    return str(state.get(BALANCES, (account, token), 0))


def _batch_balance(state: Reader, arguments: Arguments) -> list[str]:
    account = account_of(arguments, "account_id")
    return [_balance(state, account, token) for token in texts_of(arguments, "token_ids")]


def _supply(state: Reader, token: str) -> str:
    return str(sum(amount for (_, of), amount in state.items(BALANCES) if of == token))


def _tokens(state: Reader, arguments: Arguments, *, owner: str | None = None) -> list[dict[str, str]]:
    held = {token for (who, token), amount in state.items(BALANCES) if amount and owner in (None, who)}
    start, limit = optional_integer_of(arguments, "from_index", U128) or 0, field_of(arguments, "limit")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit not in U32):
        raise TypeError("field `limit` is not a number of entries")
    # Seen by running the contract: `owner_id` is left out rather than null.
    return [{"token_id": token} for token in islice(sorted(held)[start:], limit)]


def _public_keys(state: Reader, arguments: Arguments) -> list[str]:
    account = account_of(arguments, "account_id")
    keys = {key: registered for (who, key), registered in state.items(KEYS) if who == account}
    if len(account) == 64 and set(account) <= set("0123456789abcdef"):
        keys.setdefault(PublicKey(curve="ed25519", raw=bytes.fromhex(account)).text, True)
    return sorted(key for key, registered in keys.items() if registered)


def _has_public_key(state: Reader, arguments: Arguments) -> bool:
    return has_key(state, account_of(arguments, "account_id"), parse_public_key(text_of(arguments, "public_key")))


def _is_nonce_used(state: Reader, arguments: Arguments) -> bool:
    used = (account_of(arguments, "account_id"), decode_nonce_text(text_of(arguments, "nonce")))
    return bool(state.get(NONCES, used, default=False))


def _token_list(state: Reader, arguments: Arguments) -> list[dict[str, str] | None]:
    held = {token for (_, token), amount in state.items(BALANCES) if amount}
    return [{"token_id": token} if token in held else None for token in texts_of(arguments, "token_ids")]


_VIEWS: dict[str, Callable[[Reader, Arguments], object]] = {
    "mt_balance_of": lambda state, args: _balance(state, account_of(args, "account_id"), text_of(args, "token_id")),
    "mt_batch_balance_of": _batch_balance,
    "mt_supply": lambda state, args: _supply(state, text_of(args, "token_id")),
    "mt_batch_supply": lambda state, args: [_supply(state, token) for token in texts_of(args, "token_ids")],
    "mt_tokens": _tokens,
    "mt_token": _token_list,
    "mt_tokens_for_owner": lambda state, args: _tokens(state, args, owner=account_of(args, "account_id")),
    "has_public_key": _has_public_key,
    "public_keys_of": _public_keys,
    "is_nonce_used": _is_nonce_used,
    "current_salt": lambda state, _: state.get(SETTINGS, "salt").hex(),
    "is_valid_salt": lambda state, args: bool(state.get(SALTS, salt_in(field_of(args, "salt")), default=False)),
    "fee": lambda state, _: state.get(SETTINGS, "fee"),
    "fee_collector": lambda state, _: state.get(SETTINGS, "collector"),
    "is_account_locked": lambda state, args: bool(state.get(LOCKS, account_of(args, "account_id"), default=False)),
    # Nobody in this world turns the default off.
    "is_auth_by_predecessor_id_enabled": lambda _, args: bool(account_of(args, "account_id")),
}
