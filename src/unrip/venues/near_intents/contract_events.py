"""What the verifier's logs say about one account: fills, credits, debits (protocol/verifier-contract section 6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from unrip.domain.values import Amount, Delta, Value
from unrip.net.exact import NotExact, decode, mapping, text, whole

_PREFIX = "EVENT_JSON:"
#: The field of an entry of an event's list that names its account.
_OWNER_FIELDS = ("account_id", "owner_id", "old_owner_id", "new_owner_id")


class IntentFill(Value):
    """An executed intent of the account. Fees are contained in the negative deltas."""

    intent_hash: str
    diff: dict[str, Delta]
    fees_collected: dict[str, Amount]
    #: None where the logs do not name it.
    nonce: str | None


class LedgerMove(Value):
    """Tokens that came or went outside of a trade."""

    #: `mint` (deposit or returned withdrawal), `burn` (withdrawal) or `transfer`.
    kind: str
    token_id: str
    amount: Amount
    memo: str | None


class AccountEvents(Value):
    """What one reading of logs shows of the account."""

    #: Nonce to the intent of the account that used it.
    executed: dict[str, str] = {}
    fills: tuple[IntentFill, ...] = ()
    credits: tuple[LedgerMove, ...] = ()
    debits: tuple[LedgerMove, ...] = ()
    new_salt: str | None = None
    invalidated_salts: tuple[str, ...] = ()
    new_fee_pips: int | None = None
    keys_added: tuple[str, ...] = ()


class _Event(Value):
    standard: str
    name: str
    entries: tuple[dict[str, Any], ...]


def read_events(logs: Iterable[str], *, account: str) -> AccountEvents:
    """Read the logs of the contract's own, successful receipts.

    Anybody can print such a line, so the caller passes no other receipt's logs. A line that is no event, or an event of
    another shape, is skipped: newer builds add some.
    """
    events = tuple(_events(logs, account))
    executed = _executed(events, account)
    fills = tuple(_fills(events, account, executed))
    moves = tuple(_moves(events, account, traded=bool(fills)))
    rotation = next(_entries(events, "dip4", "salt_rotation"), {})
    change = next(_entries(events, "dip4", "fee_changed"), {})
    added = (entry.get("public_key") for entry in _entries(events, "dip4", "public_key_added", account))
    return AccountEvents(
        executed={nonce: intent for intent, nonce in executed.items()},
        fills=fills,
        credits=tuple(move for gained, move in moves if gained),
        debits=tuple(move for gained, move in moves if not gained),
        new_salt=_text_or_none(rotation.get("current")),
        invalidated_salts=_texts(rotation.get("invalidated")),
        new_fee_pips=_whole_or_none(change.get("new_fee")),
        keys_added=tuple(key for key in added if isinstance(key, str)),
    )


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole_or_none(value: object) -> int | None:
    try:
        return whole(value)
    except NotExact:
        return None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(entry for entry in value if isinstance(entry, str)) if isinstance(value, list) else ()


def _events(logs: Iterable[str], account: str) -> Iterator[_Event]:
    for line in logs:
        if not line.startswith(_PREFIX):
            continue
        try:
            document = mapping(decode(line.removeprefix(_PREFIX)), "the event")
            data = document.get("data")
            # Only the account's own entries of a list are kept: a batch can hold thousands of other people's.
            entries = [entry for entry in data if _names(entry, account)] if isinstance(data, list) else [data]
            yield _Event(
                standard=text(document.get("standard"), "standard"),
                name=text(document.get("event"), "event"),
                entries=tuple(entry for entry in entries if isinstance(entry, dict)),
            )
        except NotExact:
            continue


def _names(entry: object, account: str) -> bool:
    return isinstance(entry, dict) and any(entry.get(field) == account for field in _OWNER_FIELDS)


def _entries(
    events: Iterable[_Event], standard: str, name: str, account: str | None = None
) -> Iterator[dict[str, Any]]:
    for event in events:
        if (event.standard, event.name) == (standard, name):
            yield from (entry for entry in event.entries if account is None or entry.get("account_id") == account)


def _executed(events: Iterable[_Event], account: str) -> dict[str, str]:
    """Intent hash to nonce, for the entries that name both."""
    entries = _entries(events, "dip4", "intents_executed", account)
    named = ((entry.get("intent_hash"), entry.get("nonce")) for entry in entries)
    return {intent: nonce for intent, nonce in named if isinstance(intent, str) and isinstance(nonce, str)}


def _fills(events: Iterable[_Event], account: str, nonces: dict[str, str]) -> Iterator[IntentFill]:
    counted = set()
    for entry in _entries(events, "dip4", "token_diff", account):
        try:
            intent = text(entry.get("intent_hash"), "intent_hash")
            fill = IntentFill(
                intent_hash=intent,
                diff={token: Delta.parse(delta) for token, delta in mapping(entry.get("diff"), "diff").items()},
                fees_collected={
                    token: Amount.parse(fee)
                    for token, fee in mapping(entry.get("fees_collected", {}), "fees_collected").items()
                },
                nonce=nonces.get(intent),
            )
        except ValueError:
            continue
        # An intent executes at most once, and ours hold one diff: a hash counts once.
        if fill.intent_hash not in counted:
            counted.add(fill.intent_hash)
            yield fill


def _moves(events: Iterable[_Event], account: str, *, traded: bool) -> Iterator[tuple[bool, LedgerMove]]:
    """Whether the account gained, and the move.

    Beside a fill, `mt_transfer` is the net of the batch and adds nothing (section 6.2).
    """
    for entry in _entries(events, "nep245", "mt_mint"):
        if entry.get("owner_id") == account:
            yield from ((True, move) for move in _tokens("mint", entry))
    for entry in _entries(events, "nep245", "mt_burn"):
        if entry.get("owner_id") == account:
            yield from ((False, move) for move in _tokens("burn", entry))
    for entry in () if traded else _entries(events, "nep245", "mt_transfer"):
        if entry.get("new_owner_id") == account:
            yield from ((True, move) for move in _tokens("transfer", entry))
        if entry.get("old_owner_id") == account:
            yield from ((False, move) for move in _tokens("transfer", entry))


def _tokens(kind: str, entry: dict[str, Any]) -> Iterator[LedgerMove]:
    token_ids, amounts = entry.get("token_ids"), entry.get("amounts")
    if not isinstance(token_ids, list) or not isinstance(amounts, list) or len(token_ids) != len(amounts):
        return
    for token_id, amount in zip(token_ids, amounts, strict=True):
        try:
            yield LedgerMove(
                kind=kind,
                token_id=text(token_id, "token id"),
                amount=Amount.parse(amount),
                memo=_text_or_none(entry.get("memo")),
            )
        except ValueError:
            continue


def successful_logs(transaction: dict[str, Any], *, contract: str) -> list[str]:
    """The logs of a transaction's successful receipts that the contract itself executed (the fill rule, section 6.2).

    Raises:
        NotExact: the answer is not a transaction's outcome.

    """
    receipts = transaction.get("receipts_outcome")
    if not isinstance(receipts, list):
        raise NotExact("receipts_outcome is not a list")
    logs: list[str] = []
    for receipt in receipts:
        outcome = mapping(mapping(receipt, "a receipt").get("outcome"), "a receipt's outcome")
        status = outcome.get("status")
        succeeded = isinstance(status, dict) and bool({"SuccessValue", "SuccessReceiptId"} & status.keys())
        lines = outcome.get("logs")
        if outcome.get("executor_id") == contract and succeeded and isinstance(lines, list):
            logs += [line for line in lines if isinstance(line, str)]
    return logs
