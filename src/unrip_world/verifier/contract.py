"""The contract as the chain calls it: methods that write at a height, views that read at one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unrip_world.verifier import events
from unrip_world.verifier.engine import Batch
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fees import PIPS
from unrip_world.verifier.fields import (
    U128,
    account_of,
    field_of,
    integer_of,
    optional_text_of,
    salt_in,
    text_of,
    texts_of,
)
from unrip_world.verifier.keys import PublicKey, parse_public_key
from unrip_world.verifier.message import FtWithdraw, check_token_id, check_token_length
from unrip_world.verifier.nonces import decode_nonce_text, decode_versioned
from unrip_world.verifier.payload import decode_payload
from unrip_world.verifier.state import BALANCES, KEYS, LOCKS, NONCES, SALTS, SETTINGS, Draft, Reader, Storage
from unrip_world.verifier.views import call_view

#: What a paused execute or simulate panics with.
PAUSED = "Pausable: Method is paused"
#: A withdrawal to the token itself with this memo leaves NEAR through the bridge (protocol: bridge, section 5).
WITHDRAW_TO = "WITHDRAW_TO:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What one contract did during a call."""

    executor_id: str
    logs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Genesis:
    """The contract's state before the first block."""

    fee_pips: int
    fee_collector: str
    salt: bytes
    old_salts: tuple[bytes, ...] = ()
    public_keys: tuple[tuple[str, str], ...] = ()
    balances: tuple[tuple[str, str, int], ...] = ()
    locked: tuple[str, ...] = ()
    used_nonces: tuple[tuple[str, bytes], ...] = ()


class Verifier:
    """The verifier. All writes come through `apply`, so that they belong to a block."""

    def __init__(self, *, contract_id: str, genesis: Genesis, height: int, keep_blocks: int) -> None:
        self.contract_id = contract_id
        self.storage = Storage(keep_blocks=keep_blocks)
        self._methods: dict[str, Callable[[Batch, dict[str, Any]], None]] = {
            "execute_intents": self._execute_intents,
            "mt_mint": _mint,
            "mt_burn": _burn,
            "add_public_key": lambda batch, args: batch.add_key(*_account_and_key(batch, args)),
            "remove_public_key": lambda batch, args: batch.remove_key(*_account_and_key(batch, args)),
            "set_fee": _set_fee,
            "rotate_salt": _rotate_salt,
            "set_locked": _set_locked,
            "set_paused": lambda batch, args: batch.draft.put(SETTINGS, "paused", args["paused"]),
            "cleanup_nonces": _cleanup_nonces,
        }
        self._found(genesis, height=height)

    def _found(self, genesis: Genesis, *, height: int) -> None:
        def put(table: str, key: object, value: object) -> None:
            self.storage.put(table, key, value, height=height)

        put(SETTINGS, "fee", genesis.fee_pips)
        put(SETTINGS, "collector", genesis.fee_collector)
        put(SETTINGS, "salt", genesis.salt)
        put(SETTINGS, "paused", value=False)
        for salt in (genesis.salt, *genesis.old_salts):
            put(SALTS, salt, value=True)
        for account, key in genesis.public_keys:
            put(KEYS, (account, parse_public_key(key).text), value=True)
        for account, token, amount in genesis.balances:
            put(BALANCES, (account, token), amount)
        for account in genesis.locked:
            put(LOCKS, account, value=True)
        for account, nonce in genesis.used_nonces:
            put(NONCES, (account, nonce), value=True)

    def apply(self, method: str, arguments: Mapping[str, Any], *, height: int, now_ns: int) -> list[Receipt]:
        """Run a call in the block of this height; raises PanicError, and then nothing has changed."""
        draft = Draft(base=self.storage.at(height))
        batch = Batch(draft=draft, contract_id=self.contract_id, now_ns=now_ns)
        try:
            self._methods[method](batch, dict(arguments))
        except (KeyError, TypeError, ValueError) as error:
            raise PanicError(f"Failed to deserialize input from JSON.: {error}") from error
        draft.commit(self.storage, height=height)
        own = Receipt(executor_id=self.contract_id, logs=tuple(batch.logs))
        return [own, *(self._token_receipt(withdrawal) for withdrawal in batch.withdrawals)]

    def view(self, method: str, arguments: dict[str, Any], *, height: int, now_ns: int) -> object:
        """Answer a view call at a height; raises PanicError, or KeyError for an unknown method."""
        state = self.storage.at(height)
        if method != "simulate_intents":
            return call_view(state, method, arguments)
        try:
            signed = field_of(arguments, "signed")
        except ValueError as error:
            raise PanicError(f"Failed to deserialize input from JSON.: {error}") from error
        return self.simulate(signed, state=state, now_ns=now_ns)

    def simulate(self, signed: object, *, state: Reader, now_ns: int) -> dict[str, object]:
        """Run the checks of a batch without effect; unmatched sums are reported, other failures panic."""
        _require_unpaused(state)
        draft = Draft(base=state, forgets_zero_balances=True)
        batch = Batch(draft=draft, contract_id=self.contract_id, now_ns=now_ns, simulated=True)
        batch.run([decode_payload(item) for item in _batch_of(signed)])
        result: dict[str, object] = {
            "intents_executed": batch.executed,
            "logs": batch.logs,
            "min_deadline": min(batch.deadlines)[1] if batch.deadlines else "2262-04-11T23:47:16.854775807Z",
            "state": {"fee": state.get(SETTINGS, "fee"), "current_salt": state.get(SETTINGS, "salt").hex()},
        }
        if unmatched := batch.unmatched:
            result["invariant_violated"] = {"error": "unmatched_deltas", "unmatched_deltas": unmatched}
        return result

    def _execute_intents(self, batch: Batch, arguments: dict[str, Any]) -> None:
        _require_unpaused(batch.draft)
        batch.run([decode_payload(item) for item in _batch_of(field_of(arguments, "signed"))])
        batch.require_balanced()

    def _token_receipt(self, withdrawal: FtWithdraw) -> Receipt:
        """Show what the token contract did: burned for the bridge, or moved on NEAR."""
        memo = withdrawal.memo or ""
        amount = str(withdrawal.amount)
        if withdrawal.receiver_id == withdrawal.token and withdrawal.msg is None and memo.startswith(WITHDRAW_TO):
            line = events.nep141("ft_burn", [{"owner_id": self.contract_id, "amount": amount, "memo": memo}])
        else:
            moved = {"old_owner_id": self.contract_id, "new_owner_id": withdrawal.receiver_id, "amount": amount}
            line = events.nep141("ft_transfer", [moved | events.present(memo=withdrawal.memo)])
        return Receipt(executor_id=withdrawal.token, logs=(line,))


def _require_unpaused(state: Reader) -> None:
    if state.get(SETTINGS, "paused"):
        raise PanicError(PAUSED)


def _batch_of(signed: object) -> Sequence[object]:
    if not isinstance(signed, list):
        raise PanicError("Failed to deserialize input from JSON.: `signed` is not a list")
    return signed


def _account_and_key(batch: Batch, arguments: dict[str, Any]) -> tuple[str, PublicKey]:
    account = account_of(arguments, "account_id")
    batch.require_unlocked(account)
    return account, parse_public_key(text_of(arguments, "public_key"))


def _movement(arguments: dict[str, Any]) -> tuple[str, str, int]:
    """Account, token and amount of a deposit or a withdrawal; nobody moves nothing."""
    account, token = account_of(arguments, "account_id"), check_token_id(text_of(arguments, "token_id"))
    amount = integer_of(arguments, "amount", U128)
    if not amount:
        raise PanicError("invalid intent")
    return account, token, amount


def _mint(batch: Batch, arguments: dict[str, Any]) -> None:
    """A deposit, which a locked account gets, too."""
    account, token, amount = _movement(arguments)
    batch.add_balance(account, check_token_length(token), amount)
    mint = {"owner_id": account, "token_ids": [token], "amounts": [str(amount)]}
    memo = optional_text_of(arguments, "memo")
    batch.logs.append(events.nep245("mt_mint", [mint | events.present(memo=memo)]))


def _burn(batch: Batch, arguments: dict[str, Any]) -> None:
    """A withdrawal by the account's own direct call, as far as the verifier sees it."""
    account, token, amount = _movement(arguments)
    batch.require_unlocked(account)
    batch.add_balance(account, token, -amount)
    burn = {"owner_id": account, "token_ids": [token], "amounts": [str(amount)], "memo": "withdraw"}
    batch.logs.append(events.nep245("mt_burn", [burn]))


def _set_fee(batch: Batch, arguments: dict[str, Any]) -> None:
    fee_pips = field_of(arguments, "fee_pips")
    if isinstance(fee_pips, bool) or not isinstance(fee_pips, int) or not 0 <= fee_pips <= PIPS:
        raise ValueError(f"a fee is a whole number of pips up to {PIPS}")
    change = {"old_fee": batch.draft.get(SETTINGS, "fee"), "new_fee": fee_pips}
    batch.draft.put(SETTINGS, "fee", fee_pips)
    batch.logs.append(events.dip4("fee_changed", change))


def _rotate_salt(batch: Batch, arguments: dict[str, Any]) -> None:
    """Make a new salt current; the old ones stay valid unless `invalidate` ends them all."""
    invalidated = []
    if arguments["invalidate"]:
        invalidated = [salt for salt, valid in batch.draft.items(SALTS) if valid]
    for salt in invalidated:
        batch.draft.put(SALTS, salt, value=False)
    salt = salt_in(field_of(arguments, "salt"))
    batch.draft.put(SALTS, salt, value=True)
    batch.draft.put(SETTINGS, "salt", salt)
    ended = [old.hex() for old in invalidated]
    batch.logs.append(events.dip4("salt_rotation", {"current": salt.hex(), "invalidated": ended}))


def _set_locked(batch: Batch, arguments: dict[str, Any]) -> None:
    account, locked = account_of(arguments, "account_id"), bool(arguments["locked"])
    batch.draft.put(LOCKS, account, locked)
    event = "account_locked" if locked else "account_unlocked"
    batch.logs.append(events.dip4(event, {"account_id": account}))


def _cleanup_nonces(batch: Batch, arguments: dict[str, Any]) -> None:
    """Forget used versioned nonces whose own deadline is past or whose salt is invalid; others stay."""
    account = account_of(arguments, "account_id")
    for nonce in [decode_nonce_text(text) for text in texts_of(arguments, "nonces")]:
        parts = decode_versioned(nonce)
        if parts and (parts.deadline_ns < batch.now_ns or not batch.draft.get(SALTS, parts.salt, default=False)):
            batch.draft.put(NONCES, (account, nonce), value=False)
