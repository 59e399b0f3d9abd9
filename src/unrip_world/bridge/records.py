"""What the bridge keeps: its tokens with their terms, deposits that wait, withdrawals that are paid."""

import hashlib
from dataclasses import dataclass
from typing import Any

from unrip_world.assets import Pair
from unrip_world.bridge.addresses import deposit_address
from unrip_world.codec import ns_to_rfc3339


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
    #: Missing from what an earlier build remembered; the service knows it.
    decimals: int = 0

    @property
    def near_token_id(self) -> str:
        """The token contract on NEAR."""
        return self.token_id.removeprefix("nep141:")

    def transaction(self, seed: str) -> str:
        """Give a transaction hash in the form of the token's chain, always the same one for a seed."""
        digest = hashlib.sha256(seed.encode()).hexdigest()
        return digest if self.chain.startswith("btc:") else "0x" + digest

    @property
    def listed(self) -> dict[str, Any]:
        """Give the entry of `supported_tokens`."""
        return {
            "intents_token_id": self.token_id,
            "near_token_id": self.near_token_id,
            "standard": "nep141",
            "defuse_asset_identifier": self.asset_identifier,
            "asset_name": self.symbol,
            "decimals": self.decimals,
            "min_deposit_amount": str(self.min_deposit),
            "min_withdrawal_amount": str(self.min_withdrawal),
            "withdrawal_fee": str(self.withdrawal_fee),
        }


def tokens_of(pair: Pair) -> dict[str, Token]:
    """Give the tokens that the service carries, by their id; two may come from one chain."""
    return {
        asset.token_id: Token(
            chain=asset.chain,
            token_id=asset.token_id,
            symbol=asset.symbol,
            asset_identifier=asset.asset_identifier,
            min_deposit=asset.min_deposit,
            min_withdrawal=asset.min_withdrawal,
            withdrawal_fee=asset.withdrawal_fee,
            decimals=asset.decimals,
        )
        for asset in pair.assets().values()
    }


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
        tx_hash = "" if self.token.chain.startswith("btc:") else self.token.transaction(f"tx/{self.deposit_id}")
        return {
            "tx_hash": tx_hash,
            "mint_tx_hash": self.mint_tx_hash if self.status in ("CREDITED", "COMPLETED") else None,
            "chain": self.token.chain,
            "defuse_asset_identifier": self.token.asset_identifier,
            "near_token_id": self.token.near_token_id,
            "decimals": self.token.decimals,
            "amount": self.amount,
            "account_id": self.account_id,
            "address": deposit_address(account_id=self.account_id, chain=self.token.chain),
            "from": "",
            "status": self.status,
            "created_at": ns_to_rfc3339(self.created_ns, digits=3),
        }


@dataclass(kw_only=True)
class Withdrawal:
    """A burn in the verifier that is paid out on the other chain."""

    tx_hash: str
    #: The time of the burn's block.
    height: int
    #: Its place among the withdrawals of its transaction.
    index: int
    account_id: str
    token: Token
    amount: int
    address: str
    created_ns: int
    status: str = "PENDING"

    def end(self) -> None:
        """Pay it out. What is below the service's minimum by then is burned and never sent: a person must help."""
        enough = self.amount - self.token.withdrawal_fee >= self.token.min_withdrawal
        self.status = "COMPLETED" if enough else "FAILED"

    @property
    def listed(self) -> dict[str, Any]:
        """Give the entry of `withdrawal_status`."""
        payout = self.token.transaction(f"payout/{self.tx_hash}/{self.index}")
        data = {
            "tx_hash": self.tx_hash,
            "transfer_tx_hash": payout if self.status == "COMPLETED" else None,
            "chain": self.token.chain,
            "defuse_asset_identifier": self.token.asset_identifier,
            "near_token_id": self.token.near_token_id,
            "decimals": self.token.decimals,
            "amount": self.amount,
            "account_id": self.account_id,
            "address": self.address,
            "created_at": ns_to_rfc3339(self.created_ns, digits=3),
            "withdrawal_fee": str(self.token.withdrawal_fee),
            "withdraw_amount": str(max(0, self.amount - self.token.withdrawal_fee)),
        }
        return {"status": self.status, "data": data}
