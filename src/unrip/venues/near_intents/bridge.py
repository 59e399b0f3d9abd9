"""The bridge's deposit and withdrawal service, asked (protocol/bridge); nothing here moves money.

Errors of this client:

* BridgeError
  x BridgeUnavailable   no usable answer: what the bridge holds is unknown
  x BridgeRefused       the bridge itself refused; the message is its own
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from unrip.domain.treasury import BridgeDeposit, BridgeToken, BridgeWithdrawal, DepositState, WithdrawalEstimate
from unrip.domain.values import AMOUNT_MAX, Amount, derived_id
from unrip.net.exact import NotExact, instant, integer, mapping, text, whole
from unrip.net.http import HttpClient, HttpError

T = TypeVar("T")

PAGE_SIZE = 100
#: How many pages of deposits are read: what is on later ones is older than anybody waits for.
PAGES_MAX = 10
_DEPOSIT_STATES = frozenset(DepositState) - {DepositState.UNKNOWN}
#: The states of a finished withdrawal. In any other it is on its way, or waits for a person: its amount is in no
#: balance.
_FINISHED = frozenset({"COMPLETED", "RETURNED"})
#: The bridge has not seen the burn; for a while after every burn it answers this, as an error or a status (section
#: 3.6).
_NOT_YET_ERROR = "withdrawals not found"
_NOT_YET_STATUS = "NOT_FOUND"


class BridgeError(Exception):
    """The bridge could not be asked."""


class BridgeUnavailable(BridgeError):  # noqa: N818 - an outcome; the base class says that it is an error
    """No usable answer."""


class BridgeRefused(BridgeError):  # noqa: N818 - an outcome; the base class says that it is an error
    """The bridge refused; the message holds its own text."""


class Bridge:
    """Ask the bridge about one account. Every method may raise the errors of the module."""

    def __init__(self, client: HttpClient, url: str, *, account: str) -> None:
        self.account = account
        self._client = client
        self._url = url

    async def supported_tokens(self, chain: str) -> tuple[BridgeToken, ...]:
        """Minimums and fees of a chain's tokens, read each time: they change."""
        result = await self._call("supported_tokens", {"chains": [chain]})
        return _each(result, "tokens", lambda entry: _token(entry, chain))

    async def deposit_address(self, chain: str) -> str:
        """Where deposits from a chain must go. The bridge does not promise that it stays: compare before use."""
        result = await self._call("deposit_address", {"account_id": self.account, "chain": chain})
        try:
            return text(mapping(result, "the result").get("address"), "address")
        except NotExact as error:
            raise BridgeUnavailable(f"deposit_address: {error}") from None

    async def recent_deposits(self, chain: str) -> tuple[BridgeDeposit, ...]:
        """The deposits of a chain, page by page up to a bound."""
        entries: list[dict[str, Any]] = []
        total = 0
        for _ in range(PAGES_MAX):
            query = {"account_id": self.account, "chain": chain, "limit": PAGE_SIZE, "offset": len(entries)}
            result = await self._call("recent_deposits", query)
            page, page_total = _each(result, "deposits", dict), _total(result)
            if entries and page_total != total:
                raise BridgeUnavailable("recent_deposits: the list changed while it was read")
            entries += page
            total = page_total
            if len(entries) >= total:
                break
            if not page:
                raise BridgeUnavailable(f"recent_deposits: the list of {total} ended after {len(entries)}")
        return _deposits(entries)

    async def recent_withdrawals(self, chain: str) -> tuple[BridgeWithdrawal, ...]:
        """The withdrawals to a chain."""
        result = await self._call("recent_withdrawals", {"account_id": self.account, "chain": chain})
        return _each(result, "withdrawals", _withdrawal)

    async def withdrawal_estimate(self, chain: str, *, token: str, destination: str) -> WithdrawalEstimate:
        """What the bridge would keep of a withdrawal of a token, named by its contract on NEAR."""
        query = {"chain": chain, "token": token, "address": destination}
        result = await self._call("withdrawal_estimate", query)
        try:
            terms = mapping(result, "the result")
            return WithdrawalEstimate(
                fee=Amount.parse(terms.get("withdrawalFee")), fee_decimals=whole(terms.get("withdrawalFeeDecimals"))
            )
        except ValueError as error:
            raise BridgeUnavailable(f"withdrawal_estimate: {error}") from None

    async def withdrawal_status(self, burn_tx_hash: str, *, asset_id: str) -> BridgeWithdrawal | None:
        """The withdrawal of an asset that a NEAR transaction burned; None while the bridge has not seen it.

        None is no failure, however long it lasts: the burn is on chain, and only the bridge can report its end.
        """
        try:
            result = await self._call("withdrawal_status", {"withdrawal_hash": burn_tx_hash})
        except BridgeRefused as refusal:
            if str(refusal).lower().endswith(_NOT_YET_ERROR):
                return None
            raise
        # The documentation's shape is the entry itself, the SDK's a list of entries (section 3.6).
        listed = result if isinstance(result, dict) and "withdrawals" in result else {"withdrawals": [result]}
        entries = _each(listed, "withdrawals", dict)
        seen = {"withdrawals": [entry for entry in entries if str(entry.get("status")).upper() != _NOT_YET_STATUS]}
        found = [each for each in _each(seen, "withdrawals", _withdrawal) if each.asset_id == asset_id]
        if len(found) > 1:
            raise BridgeUnavailable(f"withdrawal_status: {len(found)} withdrawals of {asset_id} cannot be told apart")
        return found[0] if found else None

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        request = {"jsonrpc": "2.0", "id": "unrip", "method": method, "params": [params]}
        try:
            reply = await self._client.post(self._url, request)
        except HttpError as error:
            raise BridgeUnavailable(str(error)) from None
        if not isinstance(reply, dict):
            raise BridgeUnavailable(f"{method}: the reply is not an object")
        refusal = reply.get("error")
        if refusal is not None:  # plain text, or an object (section 2)
            said = refusal.get("message") if isinstance(refusal, dict) else refusal
            raise BridgeRefused(f"{method}: {said[:200] if isinstance(said, str) else 'refused without a text'}")
        return reply.get("result")


def _each(result: object, field: str, read: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
    """Every entry of a list; one that cannot be read makes the whole answer unknown, since sums would be wrong."""
    try:
        entries = mapping(result, "the result").get(field)
        if not isinstance(entries, list):
            raise NotExact("not a list")
        return tuple(read(mapping(entry, "an entry")) for entry in entries)
    except ValueError as error:
        raise BridgeUnavailable(f"{field}: {error}") from None


def _total(result: object) -> int:
    try:
        return whole(mapping(result, "the result").get("total"))
    except NotExact as error:
        raise BridgeUnavailable(f"total: {error}") from None


def _token(entry: dict[str, Any], chain: str) -> BridgeToken:
    return BridgeToken(
        asset_id=text(entry.get("intents_token_id"), "intents_token_id"),
        chain=chain,
        min_deposit=Amount.parse(entry.get("min_deposit_amount")),
        min_withdrawal=Amount.parse(entry.get("min_withdrawal_amount")),
        withdrawal_fee=Amount.parse(entry.get("withdrawal_fee")),
    )


def _deposits(entries: Sequence[dict[str, Any]]) -> tuple[BridgeDeposit, ...]:
    """Deposits with ids of our own: the bridge gives none, and for Bitcoin not even a transaction.

    Deposits that are alike in everything that never changes are told apart by counting them.
    """
    alike: Counter[tuple[str, ...]] = Counter()
    deposits = []
    try:
        for entry in entries:
            deposit = _deposit(entry)
            opened = deposit.created_at.isoformat() if deposit.created_at else deposit.tx_hash or ""
            key = (deposit.chain, deposit.asset_id, deposit.address, str(deposit.amount), opened)
            alike[key] += 1
            deposit_id = derived_id("deposit", *key, str(alike[key]))
            deposits.append(msgspec.structs.replace(deposit, deposit_id=deposit_id))
    except ValueError as error:
        raise BridgeUnavailable(f"deposits: {error}") from None
    return tuple(deposits)


def _deposit(entry: dict[str, Any]) -> BridgeDeposit:
    status_text = text(entry.get("status"), "status")
    known = status_text.lower()
    return BridgeDeposit(
        deposit_id="",
        chain=text(entry.get("chain"), "chain"),
        asset_id=_ledger_id(entry),
        amount=_amount(entry),
        address=text(entry.get("address"), "address"),
        state=DepositState(known) if known in _DEPOSIT_STATES else DepositState.UNKNOWN,
        status_text=status_text,
        created_at=_instant_or_none(entry.get("created_at")),
        tx_hash=_text_or_none(entry.get("tx_hash")),
        mint_tx_hash=_text_or_none(entry.get("mint_tx_hash")),
    )


def _withdrawal(entry: dict[str, Any]) -> BridgeWithdrawal:
    data = mapping(entry.get("data"), "data")
    status_text = text(entry.get("status"), "status")
    burn = text(data.get("tx_hash"), "tx_hash")
    return BridgeWithdrawal(
        # One transaction holds at most one withdrawal of a token that can be told apart (section 3.6).
        withdrawal_id=derived_id("withdrawal", burn, _ledger_id(data)),
        chain=text(data.get("chain"), "chain"),
        asset_id=_ledger_id(data),
        amount=_amount(data),
        address=text(data.get("address"), "address"),
        status_text=status_text,
        finished=status_text.upper() in _FINISHED,
        transfer_tx_hash=_text_or_none(data.get("transfer_tx_hash")),
        created_at=_instant_or_none(data.get("created_at", data.get("created"))),  # two names are in use (section 3.6)
    )


def _ledger_id(entry: dict[str, Any]) -> str:
    return f"nep141:{text(entry.get('near_token_id'), 'near_token_id')}"


def _amount(entry: dict[str, Any]) -> Amount:
    """Amounts arrive as JSON numbers, beyond 2^53 for 18 decimals (section 3.3)."""
    amount = integer(entry.get("amount"))
    if not 0 <= amount <= AMOUNT_MAX:
        raise NotExact("amount is negative, or more than the ledger counts")
    return Amount(amount)


def _instant_or_none(value: object) -> datetime | None:
    try:
        return instant(value)
    except NotExact:
        return None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
