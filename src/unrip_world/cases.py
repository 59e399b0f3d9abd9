"""Signed intents against a stated contract, as in the public vectors. Pure: state and batch in, verdict out."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from unrip_world.codec import decode_json, rfc3339_to_ns
from unrip_world.verifier.contract import Genesis, Verifier
from unrip_world.verifier.engine import authorise
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fields import salt_in
from unrip_world.verifier.keys import is_implicit_account, parse_public_key
from unrip_world.verifier.message import check_token_id, decode_message
from unrip_world.verifier.nonces import decode_nonce_text, decode_versioned, nonce_text
from unrip_world.verifier.payload import SignedPayload, decode_payload
from unrip_world.verifier.state import BALANCES, KEYS, LOCKS, NONCES, SALTS, SETTINGS, Reader, View

#: The state stands before the first block of such a world, the batch runs in the next one.
_BEFORE, _AFTER = 1, 2
_CONTRACT_ID = "intents.near"
_U128_MAX = 2**128 - 1


class CaseError(ValueError):
    """The input is no case; the text is one line that names the place and the reason."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The contract before a batch. Unknown fields are ignored, as the vectors may grow."""

    now: str
    fee_pips: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    fee_collector: str
    current_salt: str
    contract_id: str = _CONTRACT_ID
    valid_salts: list[str] = []
    #: Account -> keys; an account's implicit key counts without being listed.
    public_keys: dict[str, list[str]] = {}
    used_nonces: dict[str, list[str]] = {}
    #: Account -> token -> amount in smallest units.
    balances: dict[str, dict[str, str]] = {}
    locked_accounts: list[str] = []


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A state and the batch that meets it. `expected` and all else is not read."""

    state: State
    signed: list[Any]
    id: str | int | None = None


def read_json(text: bytes) -> Any:
    """Read a document; raises CaseError."""
    try:
        return decode_json(text)
    except ValueError as error:
        raise CaseError(f"not JSON: {error}") from error


def read_cases(document: object) -> list[Case]:
    """Read one case, a list of them, or an object with a list `cases`; raises CaseError naming the wrong one."""
    found = document.get("cases", [document]) if isinstance(document, dict) else document
    if not isinstance(found, list):
        raise CaseError("neither a case, nor a list of cases, nor an object with a list `cases`")
    cases = []
    for number, item in enumerate(found, start=1):
        name = f"case {number}" + (f" ({item['id']!r})" if isinstance(item, dict) and "id" in item else "")
        try:
            case = msgspec.convert(item, Case)
            verifier_in(case.state)
        except ValueError as error:
            raise CaseError(f"{name}: {error}") from error
        cases.append(case)
    return cases


def read_state(document: object) -> State:
    """Read a state alone; raises CaseError."""
    try:
        state = msgspec.convert(document, State)
        verifier_in(state)
    except ValueError as error:
        raise CaseError(str(error)) from error
    return state


def verifier_in(state: State) -> Verifier:
    """Make a contract of this state; raises ValueError where a key, salt, nonce, amount or instant is none."""
    rfc3339_to_ns(state.now)
    genesis = Genesis(
        fee_pips=state.fee_pips,
        fee_collector=state.fee_collector,
        salt=salt_in(state.current_salt),
        old_salts=tuple(salt_in(text) for text in state.valid_salts),
        public_keys=tuple((who, parse_public_key(key).text) for who, keys in state.public_keys.items() for key in keys),
        balances=tuple(
            (who, check_token_id(token), _amount(text))
            for who, held in state.balances.items()
            for token, text in held.items()
        ),
        locked=tuple(state.locked_accounts),
        used_nonces=tuple((who, decode_nonce_text(text)) for who, used in state.used_nonces.items() for text in used),
    )
    return Verifier(contract_id=state.contract_id, genesis=genesis, height=_BEFORE, keep_blocks=_AFTER)


def _amount(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 <= int(text) <= _U128_MAX:
        raise ValueError(f"balance {text!r} is not a whole number below 2^128")
    return int(text)


def judge(case: Case) -> dict[str, object]:
    """Execute the batch; gives `id`, `ok`, `error` and `balances_after`, which a refusal leaves as they were."""
    verifier, error = _executed(case.state, case.signed)
    return {
        "id": case.id,
        "ok": error is None,
        "error": error,
        "balances_after": balances_at(verifier.storage.at(_AFTER)),
    }


def simulate(case: Case) -> dict[str, object]:
    """Judge as `simulate_intents` does: a batch that passes all checks but the sums is `ok` and not `balanced`."""
    simulation, error = _simulated(case.state, case.signed)
    return {
        "id": case.id,
        "ok": error is None,
        "error": error,
        "balances_after": None,
        "balanced": error is None and "invariant_violated" not in simulation,
        "simulation": simulation or None,
    }


def judge_signed(signed: object, state: State, *, simulated: bool) -> dict[str, object]:
    """Judge one signed object as a batch of its own: valid or why not, who signed what, the state after."""
    if simulated:
        simulation, error = _simulated(state, [signed])
        verdict = {**describe(signed), "valid": error is None, "error": error}
        return {**verdict, "state_after": None, "simulation": simulation or None}
    verifier, error = _executed(state, [signed])
    after = state_after(state, verifier)
    return {**describe(signed), "valid": error is None, "error": error, "state_after": msgspec.to_builtins(after)}


def judge_alone(signed: object, *, now_ns: int) -> dict[str, object]:
    """Judge one signed object where no state is known: everything that only the object and the time decide.

    What a state would have to say is assumed, and said so. Only an account named after a key must have signed with that
    key: a recovered key is always some key, so that assuming it registered would believe any text.
    """
    error = None
    try:
        payload = decode_payload(signed)
        authorise(_willing(payload), payload, contract_id=_CONTRACT_ID, now_ns=now_ns)
    except PanicError as panic:
        error = panic.text
    assumed = ["key registered", "salt valid", "account unlocked", "nonce unused", "balance sufficient"]
    return {**describe(signed), "valid": error is None, "error": error, "assumed": assumed, "state_after": None}


def _willing(payload: SignedPayload) -> Reader:
    """Give a state that has this signer's key, if its account has a name, and this salt, and nothing against it."""
    keys, salt = [], bytes(4)
    try:
        key, message = payload.signer_key(), decode_message(payload)
    except PanicError:
        # The judgement that follows finds the same fault and names it.
        key = None
    if key is not None:
        nonce = decode_versioned(message.nonce)
        salt = salt if nonce is None else nonce.salt
        if not is_implicit_account(message.signer_id):
            keys.append((message.signer_id, key.text))
    genesis = Genesis(fee_pips=0, fee_collector="", salt=salt, public_keys=tuple(keys))
    return Verifier(contract_id=_CONTRACT_ID, genesis=genesis, height=_BEFORE, keep_blocks=1).storage.at(_BEFORE)


def describe(signed: object) -> dict[str, object]:
    """Show what can be read of a signed object, with null for what cannot, whether it is valid or not."""
    description: dict[str, object] = dict.fromkeys(("standard", "intent_hash", "public_key", "signer_id"))
    try:
        payload = decode_payload(signed)
        key = payload.signer_key()
        description |= {
            "standard": payload.standard,
            "intent_hash": payload.intent_hash,
            "public_key": key and key.text,
        }
        description["signer_id"] = decode_message(payload).signer_id
    except PanicError:
        # The verdict beside this description carries the reason.
        pass
    return description


def _executed(state: State, signed: list[Any]) -> tuple[Verifier, str | None]:
    verifier = verifier_in(state)
    try:
        verifier.apply("execute_intents", {"signed": signed}, height=_AFTER, now_ns=rfc3339_to_ns(state.now))
    except PanicError as panic:
        return verifier, panic.text
    return verifier, None


def _simulated(state: State, signed: list[Any]) -> tuple[Mapping[str, object], str | None]:
    verifier = verifier_in(state)
    try:
        return verifier.simulate(signed, state=verifier.storage.at(_BEFORE), now_ns=rfc3339_to_ns(state.now)), None
    except PanicError as panic:
        return {}, panic.text


def balances_at(view: Reader) -> dict[str, dict[str, str]]:
    """Give all balances but zeros."""
    found: dict[str, dict[str, str]] = {}
    for (who, token), amount in view.items(BALANCES):
        if amount:
            found.setdefault(who, {})[token] = str(amount)
    return found


def state_after(before: State, verifier: Verifier) -> State:
    """Give the contract after the batch, in the form of the state before, so that it can meet the next one."""
    view = verifier.storage.at(_AFTER)
    keys: dict[str, list[str]] = {}
    for who, key in _true(view, KEYS):
        keys.setdefault(who, []).append(key)
    used: dict[str, list[str]] = {}
    for who, nonce in _true(view, NONCES):
        used.setdefault(who, []).append(nonce_text(nonce))
    return State(
        now=before.now,
        contract_id=before.contract_id,
        fee_pips=view.get(SETTINGS, "fee"),
        fee_collector=view.get(SETTINGS, "collector"),
        current_salt=view.get(SETTINGS, "salt").hex(),
        valid_salts=[salt.hex() for salt in _true(view, SALTS)],
        public_keys=keys,
        used_nonces=used,
        balances=balances_at(view),
        locked_accounts=_true(view, LOCKS),
    )


def _true(view: View, table: str) -> list[Any]:
    return [key for key, value in view.items(table) if value]
