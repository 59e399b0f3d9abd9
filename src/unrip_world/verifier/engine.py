"""Execution of a batch of signed intents, with the contract's order of checks and its texts."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from unrip_world.codec import encode_json
from unrip_world.verifier import events
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fees import fee_on
from unrip_world.verifier.keys import PublicKey
from unrip_world.verifier.message import (
    AddPublicKey,
    FtWithdraw,
    Intent,
    Message,
    RemovePublicKey,
    TokenDiff,
    Transfer,
    decode_message,
)
from unrip_world.verifier.nonces import decode_versioned, nonce_text
from unrip_world.verifier.payload import SignedPayload
from unrip_world.verifier.state import BALANCES, KEYS, LOCKS, NONCES, SALTS, SETTINGS, Draft, Reader

_U128_MAX = 2**128 - 1
_SHORT = "insufficient balance or overflow"
#: The gas that a call brings along; a transfer out of the verifier begins only with the gas that it asks for.
GAS_PREPAID = 300_000_000_000_000


def has_key(state: Reader, account: str, key: PublicKey) -> bool:
    """Whether the key signs for the account: registered, or the account's own implicit key and not removed."""
    return bool(state.get(KEYS, (account, key.text), key.implicit_account == account))


def authorise(state: Reader, signed: SignedPayload, *, contract_id: str, now_ns: int) -> Message:
    """Make checks 1 to 8, all that is judged before the account is touched; raises PanicError."""
    key = signed.signer_key()
    if key is None:
        raise PanicError("invalid signature")
    message = decode_message(signed)
    if message.verifying_contract != contract_id:
        raise PanicError("wrong verifying_contract")
    if message.deadline_ns < now_ns:
        raise PanicError("deadline has expired")
    if not has_key(state, message.signer_id, key):
        raise PanicError(f"public key '{key.text}' doesn't exist for account '{message.signer_id}'")
    nonce = decode_versioned(message.nonce)
    if nonce is not None:
        if not state.get(SALTS, nonce.salt, default=False):
            raise PanicError("invalid salt")
        if message.deadline_ns > nonce.deadline_ns:
            raise PanicError("deadline is greater than nonce")
        if nonce.deadline_ns < now_ns:
            raise PanicError("nonce was already expired")
    return message


@dataclass(kw_only=True)
class Batch:
    """One run of `execute_intents` or `simulate_intents` over a draft; see `run`."""

    draft: Draft
    contract_id: str
    now_ns: int
    #: Simulation finds a used nonce before a locked account, execution the other way round.
    simulated: bool = False
    logs: list[str] = field(default_factory=list)
    executed: list[dict[str, object]] = field(default_factory=list)
    withdrawals: list[FtWithdraw] = field(default_factory=list)
    deadlines: list[tuple[int, str]] = field(default_factory=list)
    #: Token -> sum of deltas and collected fees; must end at zero everywhere.
    _sums: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _moves: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def run(self, batch: Sequence[SignedPayload]) -> None:
        """Apply all intents in order; raises PanicError at the first that fails. Sums are judged later."""
        for signed in batch:
            message = authorise(self.draft, signed, contract_id=self.contract_id, now_ns=self.now_ns)
            self._spend_nonce(message.signer_id, message.nonce)
            self.deadlines.append((message.deadline_ns, message.deadline))
            for intent in message.intents:
                self._execute(intent, signer=message.signer_id, intent_hash=signed.intent_hash)
            self.executed.append(
                {
                    "intent_hash": signed.intent_hash,
                    "account_id": message.signer_id,
                    "nonce": nonce_text(message.nonce),
                }
            )
        if transfers := events.match_transfers(self._moves):
            self.logs.append(events.nep245("mt_transfer", transfers))
        if self.executed:
            self.logs.append(events.dip4("intents_executed", self.executed))

    @property
    def unmatched(self) -> dict[str, str]:
        """Tokens of which more is received (positive) or given (negative) than matched."""
        return {token: str(rest) for token, rest in sorted(self._sums.items()) if rest}

    def require_balanced(self) -> None:
        """Raise PanicError unless the sums of every token are zero."""
        if unmatched := self.unmatched:
            reason = encode_json({"error": "unmatched_deltas", "unmatched_deltas": unmatched})
            raise PanicError(f"invariant violated: {reason}")

    def require_unlocked(self, account: str) -> None:
        """Raise PanicError for an account that may move nothing."""
        if self.draft.get(LOCKS, account, default=False):
            raise PanicError(f"account '{account}' is locked")

    def _spend_nonce(self, account: str, nonce: bytes) -> None:
        used = bool(self.draft.get(NONCES, (account, nonce), default=False))
        if self.simulated and used:
            raise PanicError("nonce was already used")
        self.require_unlocked(account)
        if used:
            raise PanicError("nonce was already used")
        self.draft.put(NONCES, (account, nonce), value=True)

    def _execute(self, intent: Intent, *, signer: str, intent_hash: str) -> None:
        match intent:
            case TokenDiff():
                self._token_diff(intent, signer=signer, intent_hash=intent_hash)
            case Transfer():
                self._transfer(intent, signer=signer, intent_hash=intent_hash)
            case FtWithdraw():
                self._ft_withdraw(intent, signer=signer, intent_hash=intent_hash)
            case AddPublicKey():
                self.add_key(signer, intent.public_key, intent_hash=intent_hash)
            case RemovePublicKey():
                self.remove_key(signer, intent.public_key, intent_hash=intent_hash)

    def _token_diff(self, intent: TokenDiff, *, signer: str, intent_hash: str) -> None:
        if not intent.diff:
            raise PanicError("invalid intent")
        fee_pips = self.draft.get(SETTINGS, "fee", 0)
        fees: dict[str, int] = {}
        for token, delta in intent.diff.items():
            if delta == 0:
                raise PanicError("invalid intent")
            self._move(signer, token, delta)
            self._sums[token] += delta
            if delta < 0 and (fee := fee_on(token, -delta, fee_pips)):
                fees[token] = fee
        entry = events.present(
            intent_hash=intent_hash,
            account_id=signer,
            diff=events.texts(intent.diff),
            memo=intent.memo,
            referral=intent.referral,
            fees_collected=events.texts(fees) or None,
        )
        self.logs.append(events.dip4("token_diff", [entry]))
        for token, fee in fees.items():
            self._move(self.draft.get(SETTINGS, "collector"), token, fee)
            self._sums[token] += fee

    def _transfer(self, intent: Transfer, *, signer: str, intent_hash: str) -> None:
        if intent.receiver_id == signer or not intent.tokens or not all(intent.tokens.values()):
            raise PanicError("invalid intent")
        for token, amount in intent.tokens.items():
            self._move(signer, token, -amount)
            self._move(intent.receiver_id, token, amount)
        entry = events.present(
            intent_hash=intent_hash,
            account_id=signer,
            receiver_id=intent.receiver_id,
            tokens=events.texts(intent.tokens),
            memo=intent.memo,
        )
        self.logs.append(events.dip4("transfer", [entry]))

    def _ft_withdraw(self, intent: FtWithdraw, *, signer: str, intent_hash: str) -> None:
        if not intent.amount:
            raise PanicError("invalid intent")
        token = f"nep141:{intent.token}"
        self.add_balance(signer, token, -intent.amount)
        burned = {token: intent.amount}
        if intent.storage_deposit is not None:
            if not intent.storage_deposit:
                raise PanicError("invalid intent")
            self.add_balance(signer, "nep141:wrap.near", -intent.storage_deposit)
            burned["nep141:wrap.near"] = burned.get("nep141:wrap.near", 0) + intent.storage_deposit
        entry = events.present(
            intent_hash=intent_hash,
            account_id=signer,
            token=intent.token,
            receiver_id=intent.receiver_id,
            amount=str(intent.amount),
            memo=intent.memo,
            msg=intent.msg,
            storage_deposit=None if intent.storage_deposit is None else str(intent.storage_deposit),
            min_gas=None if intent.min_gas is None else str(intent.min_gas),
        )
        burn = {
            "owner_id": signer,
            "token_ids": list(burned),
            "amounts": [str(amount) for amount in burned.values()],
            "memo": "withdraw",
        }
        self.logs += [events.dip4("ft_withdraw", [entry]), events.nep245("mt_burn", [burn])]
        if not self.simulated and (intent.min_gas or 0) > GAS_PREPAID:
            raise PanicError("Exceeded the prepaid gas.")
        self.withdrawals.append(intent)

    def _move(self, account: str, token: str, delta: int) -> None:
        self.add_balance(account, token, delta)
        self._moves[account, token] += delta

    def add_balance(self, account: str, token: str, delta: int) -> None:
        """Credit or debit an account; raises PanicError where the balance cannot take it."""
        balance = self.draft.get(BALANCES, (account, token), 0) + delta
        if not 0 <= balance <= _U128_MAX:
            raise PanicError(_SHORT)
        self.draft.put(BALANCES, (account, token), balance)

    def add_key(self, account: str, key: PublicKey, *, intent_hash: str | None = None) -> None:
        """Register a key; raises PanicError if it is there."""
        if has_key(self.draft, account, key):
            raise PanicError(f"public key '{key.text}' already exists for account '{account}'")
        self._set_key(account, key, present=True, intent_hash=intent_hash)

    def remove_key(self, account: str, key: PublicKey, *, intent_hash: str | None = None) -> None:
        """Remove a key; raises PanicError if it is not there."""
        if not has_key(self.draft, account, key):
            raise PanicError(f"public key '{key.text}' doesn't exist for account '{account}'")
        self._set_key(account, key, present=False, intent_hash=intent_hash)

    def _set_key(self, account: str, key: PublicKey, *, present: bool, intent_hash: str | None) -> None:
        self.draft.put(KEYS, (account, key.text), present)
        event = "public_key_added" if present else "public_key_removed"
        data = events.present(account_id=account, public_key=key.text, intent_hash=intent_hash)
        self.logs.append(events.dip4(event, data))
