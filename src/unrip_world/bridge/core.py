"""The deposit and withdrawal service: credits what arrived, pays what was burned, answers by its own methods."""

import json
from collections.abc import Callable, Container, Mapping, Sequence
from decimal import Decimal
from typing import Any

from unrip_world.assets import Pair
from unrip_world.bridge.addresses import deposit_address
from unrip_world.bridge.records import Deposit, Token, Withdrawal, tokens_of
from unrip_world.chain.core import Block, Chain, Outcome
from unrip_world.codec import NS_PER_S
from unrip_world.faults import Faults
from unrip_world.kept import Kept
from unrip_world.verifier.contract import WITHDRAW_TO

#: The service's account that mints in the verifier.
BRIDGE_ACCOUNT = "omft.near"
_KEPT = 5_000


class BridgeRefusedError(Exception):
    """The request cannot be served; the service answers its text as a plain string."""


class Bridge:
    """The service. Requests come by `call`, coins by `deposit`, burns by `on_block`, time by `advance`."""

    def __init__(
        self, *, chain: Chain, pair: Pair, faults: Faults, credit_after_s: Decimal | None, withdraw_after_s: Decimal
    ) -> None:
        self._chain, self._faults = chain, faults
        self._tokens = tokens_of(pair)
        self._by_near_token = {token.near_token_id: token for token in self._tokens.values()}
        self._credit_after_ns = None if credit_after_s is None else int(credit_after_s * NS_PER_S)
        self._withdraw_after_ns = int(withdraw_after_s * NS_PER_S)
        self.deposits: Kept[str, Deposit] = Kept(bound=_KEPT)
        #: Withdrawals by the transaction of the burn, which may carry several.
        self.withdrawals: Kept[str, list[Withdrawal]] = Kept(bound=_KEPT)
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

    def deposit(
        self,
        *,
        account_id: str,
        chain: str,
        amount: int,
        min_amount: int | None,
        now_ns: int,
        token_id: str | None = None,
    ) -> Deposit:
        """Let coins arrive at an account's deposit address; raises BridgeRefusedError for an unknown chain or token.

        Where two tokens come from one chain, `token_id` says which.
        """
        token = self._token_on(chain, token_id)
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
        return deposit

    def memory(self) -> int:
        """Give how many deposits there ever were, beside deposits and withdrawals themselves."""
        return self._made

    def resume(self, made: int) -> None:
        """Go on with the deposits that were put back."""
        self._made = made
        movements: list[Deposit | Withdrawal] = [*self.deposits.values()]
        movements += [withdrawal for found in self.withdrawals.values() for withdrawal in found]
        for movement in movements:
            movement.token = self._tokens.get(movement.token.token_id, movement.token)
        self._minting = {
            deposit.mint_tx_hash: deposit
            for deposit in self.deposits.values()
            if deposit.mint_tx_hash is not None and deposit.credit_asked and deposit.status == "PENDING"
        }

    def credit(self, deposit: Deposit) -> None:
        """Mint a pending deposit in the verifier; below the minimum the service does nothing and reports nothing."""
        if deposit.credit_asked or deposit.amount < deposit.min_amount:
            return
        deposit.credit_asked = True
        token_id, amount = deposit.token.token_id, str(deposit.amount)
        deposit.mint_tx_hash = self._mint(deposit.account_id, token_id=token_id, amount=amount, memo="deposit")
        self._minting[deposit.mint_tx_hash] = deposit
        self.deposits.touch(deposit.deposit_id)

    # -- time and chain

    def advance(self, now_ns: int) -> None:
        """Credit deposits and pay withdrawals whose time has come."""
        if self._credit_after_ns is not None:
            for deposit in self.deposits.values():
                if now_ns - deposit.created_ns >= self._credit_after_ns:
                    self.credit(deposit)
        final = self._chain.final.height
        for burn, *others in self.withdrawals.values():
            due = now_ns - burn.created_ns >= self._withdraw_after_ns
            # A payment cannot be taken back, so it waits until the burn cannot vanish.
            if due and burn.status == "PENDING" and burn.height <= final:
                for withdrawal in (burn, *others):
                    self._end(withdrawal)
                self.withdrawals.touch(burn.tx_hash)
        if not self._credits_in_steps:
            for deposit in self.deposits.values():
                if deposit.status == "CREDITED":
                    deposit.status = "COMPLETED"
                    self.deposits.touch(deposit.deposit_id)

    def _end(self, withdrawal: Withdrawal) -> None:
        """Pay it out, or end it as a fault wants it: what is reported as returned is back in the verifier."""
        ending = self._faults.get("bridge", "end_withdrawals")
        if ending is None:
            withdrawal.end()
            return
        withdrawal.status = ending["status"]
        if withdrawal.status == "RETURNED":
            token_id, amount = withdrawal.token.token_id, str(withdrawal.amount)
            self._mint(withdrawal.account_id, token_id=token_id, amount=amount, memo="refund")

    @property
    def _credits_in_steps(self) -> bool:
        return self._faults.get("bridge", "credit_in_steps") is not None

    def _mint(self, account_id: str, **rest: str) -> str:
        arguments = {"account_id": account_id, **rest}
        return self._chain.submit(signer_id=BRIDGE_ACCOUNT, method="mt_mint", arguments=arguments)

    def on_block(self, block: Block) -> None:
        """See mints and burns of a block."""
        for outcome in block.outcomes:
            deposit = self._minting.pop(outcome.transaction.tx_hash, None)
            if deposit is not None and outcome.error is None:
                deposit.status = "CREDITED" if self._credits_in_steps else "COMPLETED"
                self.deposits.touch(deposit.deposit_id)
            if burns := _burns(outcome, self._by_near_token):
                self._on_burns(outcome.transaction.tx_hash, burns, block)

    def on_revert(self, block: Block, *, lost: bool) -> None:
        """Take back the mints and burns of a block; a lost mint has to be made again."""
        gone = {outcome.transaction.tx_hash for outcome in block.outcomes}
        for deposit in self.deposits.values():
            if deposit.mint_tx_hash in gone:
                deposit.status = "PENDING"
                deposit.credit_asked = not lost
                self.deposits.touch(deposit.deposit_id)
                if not lost:
                    self._minting[deposit.mint_tx_hash] = deposit
        for tx_hash in gone & self.withdrawals.keys():
            del self.withdrawals[tx_hash]

    def _on_burns(self, tx_hash: str, burns: Sequence[Mapping[str, Any]], block: Block) -> None:
        self.withdrawals[tx_hash] = [
            Withdrawal(
                tx_hash=tx_hash,
                height=block.height,
                index=index,
                account_id=burn["account_id"],
                token=self._by_near_token[burn["token"]],
                amount=int(burn["amount"]),
                address=burn["memo"].removeprefix(WITHDRAW_TO),
                created_ns=block.timestamp_ns,
            )
            for index, burn in enumerate(burns)
        ]

    def _token_on(self, chain: object, token_id: str | None = None) -> Token:
        found = [token for token in self._tokens.values() if token.chain == chain]
        if not found:
            raise BridgeRefusedError(f"chain {chain} is not supported")
        for token in found:
            if token_id in (None, token.token_id):
                return token
        raise BridgeRefusedError(f"token {str(token_id).removeprefix('nep141:')} is not supported on {chain}")

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
        chains = parameters.get("chains") or [token.chain for token in self._tokens.values()]
        return {"tokens": [token.listed for token in self._tokens.values() if token.chain in chains]}

    def _deposit_address(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        chain, account_id = self._token_on(parameters.get("chain")).chain, _text(parameters, "account_id")
        others = self._faults.get("bridge", "other_addresses") is not None
        address = deposit_address(account_id=f"other/{account_id}" if others else account_id, chain=chain)
        return {"address": address, "chain": chain}

    def _recent_deposits(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {name: parameters[name] for name in ("account_id", "chain", "status") if parameters.get(name)}
        limit, offset = min(_whole(parameters, "limit", 20), 100), _whole(parameters, "offset", 0)
        newest_first = [deposit.listed for deposit in self.deposits.newest_first()]
        found = [entry for entry in newest_first if wanted.items() <= entry.items()]
        return {"deposits": found[offset : offset + limit], "total": len(found), "limit": limit, "offset": offset}

    def _withdrawal_estimate(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        token = self._token_on(parameters.get("chain"), f"nep141:{_text(parameters, 'token')}")
        return {
            "tokenAddress": token.near_token_id,
            "userAddress": _text(parameters, "address"),
            "withdrawalFee": str(token.withdrawal_fee),
            "withdrawalFeeDecimals": token.decimals,
            "token": token.listed,
        }

    def _withdrawal_status(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        found = self.withdrawals.get(_text(parameters, "withdrawal_hash"))
        if found is None:
            raise BridgeRefusedError("Withdrawals not found")
        return {"withdrawals": [withdrawal.listed for withdrawal in found]}

    def _recent_withdrawals(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {name: parameters[name] for name in ("account_id", "chain") if parameters.get(name)}
        newest_first = [withdrawal.listed for found in self.withdrawals.newest_first() for withdrawal in found]
        return {"withdrawals": [entry for entry in newest_first if wanted.items() <= entry["data"].items()]}


def _burns(outcome: Outcome, tokens: Container[str]) -> list[Mapping[str, Any]]:
    """Give the verifier's `ft_withdraw` entries whose token contract did burn for the bridge."""
    own, *of_tokens = outcome.receipts
    events = [json.loads(line.removeprefix("EVENT_JSON:")) for line in own.logs] if of_tokens else []
    entries = [entry for event in events if event["event"] == "ft_withdraw" for entry in event["data"]]
    return [
        entry
        for entry, receipt in zip(entries, of_tokens, strict=True)
        if entry["token"] in tokens and any('"event":"ft_burn"' in line for line in receipt.logs)
    ]


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
