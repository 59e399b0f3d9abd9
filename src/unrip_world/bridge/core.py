"""Deposits that wait for their credit, withdrawals that wait for their payment, and the service's own answers."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from unrip_world.assets import BTC, DECIMALS, EURE
from unrip_world.bridge.addresses import deposit_address
from unrip_world.chain.core import Block, Chain, Outcome
from unrip_world.codec import NS_PER_S, ns_to_rfc3339
from unrip_world.verifier.contract import WITHDRAW_TO

#: The service's account that mints on the ledger.
BRIDGE_ACCOUNT = "omft.near"
_KEPT = 5_000
_EURE_CONTRACT = EURE.removeprefix("nep141:gnosis-").removesuffix(".omft.near")


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One bridged token with the service's current terms, in smallest units."""

    chain: str
    token_id: str
    symbol: str
    asset_identifier: str
    min_deposit: int
    min_withdrawal: int
    withdrawal_fee: int

    @property
    def near_token_id(self) -> str:
        """The token contract on NEAR."""
        return self.token_id.removeprefix("nep141:")

    @property
    def listed(self) -> dict[str, Any]:
        """Give the entry of `supported_tokens`."""
        return {
            "intents_token_id": self.token_id,
            "near_token_id": self.near_token_id,
            "standard": "nep141",
            "defuse_asset_identifier": self.asset_identifier,
            "asset_name": self.symbol,
            "decimals": DECIMALS[self.token_id],
            "min_deposit_amount": str(self.min_deposit),
            "min_withdrawal_amount": str(self.min_withdrawal),
            "withdrawal_fee": str(self.withdrawal_fee),
        }


TOKENS = {
    "btc:mainnet": Token(
        chain="btc:mainnet",
        token_id=BTC,
        symbol="BTC",
        asset_identifier="btc:mainnet:native",
        min_deposit=5_000,
        min_withdrawal=7_000,
        withdrawal_fee=1_500,
    ),
    "eth:100": Token(
        chain="eth:100",
        token_id=EURE,
        symbol="EURe",
        asset_identifier=f"eth:100:{_EURE_CONTRACT}",
        min_deposit=10**17,
        min_withdrawal=10**18,
        withdrawal_fee=2 * 10**16,
    ),
}
_BY_NEAR_TOKEN = {token.near_token_id: token for token in TOKENS.values()}


class BridgeRefusedError(Exception):
    """The request cannot be served; the service tells its text as a plain string."""


@dataclass(kw_only=True)
class Deposit:
    """Coins that arrived on the other chain; `amount` in smallest units."""

    deposit_id: str
    account_id: str
    token: Token
    amount: int
    min_amount: int
    created_ns: int
    status: str = "PENDING"
    mint_tx_hash: str | None = None
    credit_asked: bool = False

    @property
    def listed(self) -> dict[str, Any]:
        """Give the entry of `recent_deposits`; `amount` is a JSON number there."""
        # By the documentation the transaction is named for EVM chains only.
        tx_hash = "" if self.token.chain.startswith("btc:") else "0x" + _hex(f"tx/{self.deposit_id}")
        return {
            "tx_hash": tx_hash,
            "mint_tx_hash": self.mint_tx_hash if self.status == "COMPLETED" else None,
            "chain": self.token.chain,
            "defuse_asset_identifier": self.token.asset_identifier,
            "near_token_id": self.token.near_token_id,
            "decimals": DECIMALS[self.token.token_id],
            "amount": self.amount,
            "account_id": self.account_id,
            "address": deposit_address(account_id=self.account_id, chain=self.token.chain),
            "from": "",
            "status": self.status,
            "created_at": ns_to_rfc3339(self.created_ns, digits=3),
        }


@dataclass(kw_only=True)
class Withdrawal:
    """A burn on the ledger that is paid out on the other chain."""

    tx_hash: str
    account_id: str
    token: Token
    amount: int
    address: str
    created_ns: int
    paid: bool = False

    @property
    def listed(self) -> dict[str, Any]:
        """Give the entry of `withdrawal_status`."""
        data = {
            "tx_hash": self.tx_hash,
            "transfer_tx_hash": _hex(f"payout/{self.tx_hash}") if self.paid else None,
            "chain": self.token.chain,
            "defuse_asset_identifier": self.token.asset_identifier,
            "near_token_id": self.token.near_token_id,
            "decimals": DECIMALS[self.token.token_id],
            "amount": self.amount,
            "account_id": self.account_id,
            "address": self.address,
            "created_at": ns_to_rfc3339(self.created_ns, digits=3),
            "withdrawal_fee": str(self.token.withdrawal_fee),
            "withdraw_amount": str(self.amount - self.token.withdrawal_fee),
        }
        return {"status": "COMPLETED" if self.paid else "PENDING", "data": data}


class Bridge:
    """The service. Requests come by `call`, coins by `deposit`, burns by `on_block`, time by `advance`."""

    def __init__(self, *, chain: Chain, credit_after_s: Decimal | None, withdraw_after_s: Decimal) -> None:
        self._chain = chain
        self._credit_after_ns = None if credit_after_s is None else int(credit_after_s * NS_PER_S)
        self._withdraw_after_ns = int(withdraw_after_s * NS_PER_S)
        self.deposits: OrderedDict[str, Deposit] = OrderedDict()
        self.withdrawals: OrderedDict[str, Withdrawal] = OrderedDict()
        self._minting: dict[str, Deposit] = {}
        self._made = 0
        self._methods: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "supported_tokens": self._supported_tokens,
            "deposit_address": self._deposit_address,
            "recent_deposits": self._recent_deposits,
            "notify_deposit": lambda _: {},
            "withdrawal_estimate": self._withdrawal_estimate,
            "withdrawal_status": self._withdrawal_status,
            "recent_withdrawals": self._recent_withdrawals,
        }

    # -- the other chains

    def deposit(self, *, account_id: str, chain: str, amount: int, min_amount: int | None, now_ns: int) -> Deposit:
        """Let coins arrive at an account's deposit address; raises BridgeRefusedError for an unknown chain."""
        token = _token_on(chain)
        self._made += 1
        deposit = Deposit(
            deposit_id=f"deposit-{self._made}",
            account_id=account_id,
            token=token,
            amount=amount,
            min_amount=token.min_deposit if min_amount is None else min_amount,
            created_ns=now_ns,
        )
        self.deposits[deposit.deposit_id] = deposit
        if len(self.deposits) > _KEPT:
            self.deposits.popitem(last=False)
        return deposit

    def credit(self, deposit: Deposit) -> None:
        """Mint a pending deposit on the ledger; below the minimum the service does nothing, and says nothing."""
        if deposit.credit_asked or deposit.amount < deposit.min_amount:
            return
        deposit.credit_asked = True
        arguments = {
            "account_id": deposit.account_id,
            "token_id": deposit.token.token_id,
            "amount": str(deposit.amount),
            "memo": "deposit",
        }
        deposit.mint_tx_hash = self._chain.submit(signer_id=BRIDGE_ACCOUNT, method="mt_mint", arguments=arguments)
        self._minting[deposit.mint_tx_hash] = deposit

    # -- time and chain

    def advance(self, now_ns: int) -> None:
        """Credit deposits and pay withdrawals whose time has come."""
        if self._credit_after_ns is not None:
            for deposit in self.deposits.values():
                if now_ns - deposit.created_ns >= self._credit_after_ns:
                    self.credit(deposit)
        for withdrawal in self.withdrawals.values():
            if now_ns - withdrawal.created_ns >= self._withdraw_after_ns:
                withdrawal.paid = True

    def on_block(self, block: Block) -> None:
        """See mints and burns of a block."""
        for outcome in block.outcomes:
            deposit = self._minting.pop(outcome.transaction.tx_hash, None)
            if deposit is not None and outcome.error is None:
                deposit.status = "COMPLETED"
            for burn in _burns(outcome):
                self._on_burn(outcome.transaction.tx_hash, burn, block.timestamp_ns)

    def on_revert(self, block: Block, *, lost: bool) -> None:
        """Take back the mints and burns of a block; a lost mint has to be made again."""
        gone = {outcome.transaction.tx_hash for outcome in block.outcomes}
        for deposit in self.deposits.values():
            if deposit.mint_tx_hash in gone:
                deposit.status = "PENDING"
                deposit.credit_asked = not lost
                if not lost:
                    self._minting[deposit.mint_tx_hash] = deposit
        for tx_hash in gone & self.withdrawals.keys():
            del self.withdrawals[tx_hash]

    def _on_burn(self, tx_hash: str, burn: Mapping[str, Any], now_ns: int) -> None:
        self.withdrawals[tx_hash] = Withdrawal(
            tx_hash=tx_hash,
            account_id=burn["account_id"],
            token=_BY_NEAR_TOKEN[burn["token"]],
            amount=int(burn["amount"]),
            address=burn["memo"].removeprefix(WITHDRAW_TO),
            created_ns=now_ns,
        )
        if len(self.withdrawals) > _KEPT:
            self.withdrawals.popitem(last=False)

    # -- the service's methods

    def call(self, method: object, parameters: object) -> dict[str, Any]:
        """Answer a request; raises BridgeRefusedError."""
        if method not in self._methods:
            raise BridgeRefusedError(f"Method not found: {method}")
        first = parameters[0] if isinstance(parameters, list) and parameters else {}
        if not isinstance(first, dict):
            raise BridgeRefusedError("params must be an array with one object")
        return self._methods[str(method)](first)

    def _supported_tokens(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        chains = parameters.get("chains") or list(TOKENS)
        return {"tokens": [token.listed for chain, token in TOKENS.items() if chain in chains]}

    def _deposit_address(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        chain = _token_on(parameters.get("chain")).chain
        return {"address": deposit_address(account_id=_text(parameters, "account_id"), chain=chain), "chain": chain}

    def _recent_deposits(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {name: parameters[name] for name in ("account_id", "chain", "status") if parameters.get(name)}
        limit, offset = min(_whole(parameters, "limit", 20), 100), _whole(parameters, "offset", 0)
        newest_first = [deposit.listed for deposit in reversed(self.deposits.values())]
        found = [entry for entry in newest_first if wanted.items() <= entry.items()]
        return {"deposits": found[offset : offset + limit], "total": len(found), "limit": limit, "offset": offset}

    def _withdrawal_estimate(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        token = _token_on(parameters.get("chain"))
        if _text(parameters, "token") != token.near_token_id:
            raise BridgeRefusedError(f"token {parameters['token']} is not supported on {token.chain}")
        return {
            "tokenAddress": token.near_token_id,
            "userAddress": _text(parameters, "address"),
            "withdrawalFee": str(token.withdrawal_fee),
            "withdrawalFeeDecimals": DECIMALS[token.token_id],
            "token": token.listed,
        }

    def _withdrawal_status(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        withdrawal = self.withdrawals.get(_text(parameters, "withdrawal_hash"))
        if withdrawal is None:
            raise BridgeRefusedError("Withdrawals not found")
        return {"withdrawals": [withdrawal.listed]}

    def _recent_withdrawals(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {name: parameters[name] for name in ("account_id", "chain") if parameters.get(name)}
        newest_first = [withdrawal.listed for withdrawal in reversed(self.withdrawals.values())]
        return {"withdrawals": [entry for entry in newest_first if wanted.items() <= entry["data"].items()]}


def _burns(outcome: Outcome) -> list[Mapping[str, Any]]:
    """Give the verifier's `ft_withdraw` entries whose token contract did burn for the bridge."""
    burning = {
        receipt.executor_id for receipt in outcome.receipts if any('"event":"ft_burn"' in line for line in receipt.logs)
    }
    found: list[Mapping[str, Any]] = []
    for line in outcome.receipts[0].logs if burning else ():
        event = json.loads(line.removeprefix("EVENT_JSON:"))
        if event["event"] == "ft_withdraw":
            found += [entry for entry in event["data"] if entry["token"] in burning & _BY_NEAR_TOKEN.keys()]
    return found


def _token_on(chain: object) -> Token:
    token = TOKENS.get(str(chain))
    if token is None:
        raise BridgeRefusedError(f"chain {chain} is not supported")
    return token


def _whole(parameters: Mapping[str, Any], name: str, default: int) -> int:
    value = parameters.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BridgeRefusedError(f"{name} must be a whole number")
    return value


def _text(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str) or not value:
        raise BridgeRefusedError(f"{name} is required")
    return value


def _hex(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()
