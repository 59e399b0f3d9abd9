"""The verifier contract read at one final block, simulated against, and searched for fills."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from unrip.domain.values import Amount, Delta, Value
from unrip.domain.verifier import PastSpan, UseSpan, VerifierFill, VerifierReading
from unrip.net.exact import NotExact, mapping, whole
from unrip.venues.near_intents.contract_events import AccountEvents, read_events, successful_logs
from unrip.venues.near_intents.endpoints import Endpoints
from unrip.venues.near_intents.past import BlocksNotKept, Past, Search
from unrip.venues.near_intents.rpc import (
    Block,
    BlockUnknown,
    ContractPanic,
    NearRpc,
    RpcContradicted,
    RpcUnavailable,
)

#: How many views of one reading may be under way together: it bounds the request rate at a node.
VIEWS_AT_ONCE = 8
#: How many transactions are searched for the one that used a nonce; a block holds few to the contract.
TRANSACTIONS_MAX = 32

#: The contract counts what somebody has in 128 bits: more is no answer of its.
_BALANCE_MAX = 2**128 - 1
_SALT = re.compile(r"[0-9a-f]{8}")


class Simulation(Value):
    """How the contract judges signed intents without executing them. A pass is no permission (section 11)."""

    #: The contract's refusal, None when every check passed.
    refusal: str | None
    #: Positive amounts of a token mean that more is received than given. A lone offer always leaves its own two
    #: amounts.
    unmatched: dict[str, Delta]
    current_salt: str | None
    fee_pips: int | None


class Verifier:
    """Ask the contract about one account and its key. Every method may raise the errors of `rpc`.

    With `cross_check`, a reading counts only if two endpoints give the same one.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        contract: str,
        account: str,
        public_key: str,
        asset_ids: Sequence[str],
        clock: Callable[[], datetime],
        cross_check: bool = False,
    ) -> None:
        self.account = account
        self._endpoints = endpoints
        self._cross_check = cross_check
        self._contract = contract
        self._public_key = public_key
        self._asset_ids = list(asset_ids)
        self._clock = clock
        self._slots = asyncio.Semaphore(VIEWS_AT_ONCE)

    async def read(
        self, *, nonces: Collection[str] = (), salts: Collection[str] = (), elsewhere: bool = False
    ) -> VerifierReading:
        """Read what a desk must know, all of it at one final block, with the state of the given nonces and salts.

        `elsewhere`: the last answer was not believed, so another node is asked first.

        Raises:
            RpcUnavailable: also for a value that is not of its documented type: unknown, never assumed.
            RpcContradicted: two endpoints were to say the same and did not.
            ContractPanic, RpcRefused: see `rpc`.

        """

        async def read_at(rpc: NearRpc, block: Block, observed_at: datetime) -> VerifierReading:
            return await self._read_at(rpc, block, nonces=nonces, salts=salts, observed_at=observed_at)

        async def read_one(rpc: NearRpc) -> VerifierReading:
            observed_at = self._clock()
            reading = await read_at(rpc, await rpc.final_block(), observed_at)
            return msgspec.structs.replace(reading, node=rpc.name)

        async def read_both(rpc: NearRpc, witness: NearRpc) -> VerifierReading:
            observed_at = self._clock()
            block = await self._common_block(rpc, witness)
            reading: VerifierReading
            reading, witnessed = await self._together(
                read_at(rpc, block, observed_at), read_at(witness, block, observed_at)
            )
            if reading != witnessed:
                raise RpcContradicted(f"two endpoints contradict each other about block {block.height}")
            return msgspec.structs.replace(reading, node=f"{rpc.name}+{witness.name}")

        if elsewhere:
            self._endpoints.turn_away()
        if self._cross_check:
            return await self._endpoints.ask_two(read_both, as_of=_block_time)
        return await self._endpoints.ask(read_one, as_of=_block_time)

    async def read_past(
        self, span: PastSpan, *, nonces: Collection[str], beside: Collection[str]
    ) -> tuple[VerifierReading, ...]:
        """Read the older blocks that can show how nonces ended: see `past`.

        One reading where the salt is valid; or two, of the last block where it was and of the next one, then also with
        the nonces of other offers that may have been executed there (`beside`).

        Raises:
            BlocksNotKept: no node has the blocks any more.
            RpcUnavailable, RpcContradicted, ContractPanic, RpcRefused: as for `read`.

        """

        def asked(blocks: tuple[Block, ...]) -> list[str]:
            return list(dict.fromkeys([*nonces, *([] if len(blocks) == 1 else beside)]))

        return await self._read_older(lambda rpc: self._deciding(rpc, span), asked, salts=[span.salt])

    async def read_use(
        self, span: UseSpan, *, beside: Collection[str], salts: Collection[str]
    ) -> tuple[VerifierReading, VerifierReading]:
        """The last block at which a nonce was unused, and the next one, also with other nonces (`beside`).

        Raises:
            BlocksNotKept, RpcUnavailable, RpcContradicted, ContractPanic, RpcRefused: as for `read_past`.

        """
        nonces = list(dict.fromkeys([span.nonce, *beside]))
        before, after = await self._read_older(lambda rpc: self._using(rpc, span), lambda _: nonces, salts=salts)
        return before, after

    async def _read_older(
        self,
        find: Callable[[NearRpc], Coroutine[Any, Any, tuple[Block, ...]]],
        nonces: Callable[[tuple[Block, ...]], Collection[str]],
        *,
        salts: Collection[str],
    ) -> tuple[VerifierReading, ...]:
        """Readings of the blocks that one node finds; with `cross_check` another one must give the same of each."""

        async def read_one(rpc: NearRpc) -> tuple[VerifierReading, ...]:
            observed_at = self._clock()
            with _unknown_is_not_kept():
                blocks = await find(rpc)
                asked = {"nonces": nonces(blocks), "salts": salts}
                return tuple([await self._read_at(rpc, block, observed_at=observed_at, **asked) for block in blocks])

        async def read_both(rpc: NearRpc, witness: NearRpc) -> tuple[VerifierReading, ...]:
            observed_at = self._clock()
            readings = []
            with _unknown_is_not_kept():
                blocks = await find(rpc)
                asked = {"nonces": nonces(blocks), "salts": salts}
                for block in blocks:
                    reading, witnessed, seen = await self._together(
                        self._read_at(rpc, block, observed_at=observed_at, **asked),
                        self._read_at(witness, block, observed_at=observed_at, **asked),
                        witness.block_at(block.height),
                    )
                    if (reading, block) != (witnessed, seen):
                        raise RpcContradicted(f"two endpoints contradict each other about block {block.height}")
                    readings.append(reading)
            return tuple(readings)

        return await (self._endpoints.ask_two(read_both) if self._cross_check else self._endpoints.ask(read_one))

    async def _using(self, rpc: NearRpc, span: UseSpan) -> tuple[Block, ...]:
        if (await rpc.final_block()).height < span.used_at:
            raise RpcUnavailable(f"the node is behind block {span.used_at}")

        async def unused(height: int) -> bool:
            arguments = {"account_id": self.account, "nonce": span.nonce}
            return not _flag(await self._view(rpc, "is_nonce_used", arguments, height=height))

        end = await rpc.block_at(span.used_at)
        return await Search(block_at=rpc.block_at).turn(span.unused_at, end, unused, ended="the nonce is used")

    async def _deciding(self, rpc: NearRpc, span: PastSpan) -> tuple[Block, ...]:
        if (await rpc.final_block()).height < span.height:
            raise RpcUnavailable(f"the node is behind block {span.height}")

        async def salt_valid(height: int) -> bool:
            return _flag(await self._view(rpc, "is_valid_salt", {"salt": span.salt}, height=height))

        return await Past(block_at=rpc.block_at, salt_valid=salt_valid).deciding(span)

    @staticmethod
    async def _common_block(rpc: NearRpc, witness: NearRpc) -> Block:
        """The newest block that is final for both nodes, of which one is always a little behind the other."""
        mine, theirs = await rpc.final_block(), await witness.final_block()
        if mine.height > theirs.height:
            mine = await rpc.block_at(theirs.height)
        elif theirs.height > mine.height:
            theirs = await witness.block_at(mine.height)
        if mine != theirs:
            raise RpcContradicted(f"two endpoints give different times to block {mine.height}")
        return mine

    async def _read_at(
        self, rpc: NearRpc, block: Block, *, nonces: Collection[str], salts: Collection[str], observed_at: datetime
    ) -> VerifierReading:
        account, key = {"account_id": self.account}, {"public_key": self._public_key}
        balances, salt, fee, registered, locked, paused, *answers = await self._together(
            self._view(rpc, "mt_batch_balance_of", {**account, "token_ids": self._asset_ids}, height=block.height),
            self._view(rpc, "current_salt", {}, height=block.height),
            self._view(rpc, "fee", {}, height=block.height),
            self._view(rpc, "has_public_key", {**account, **key}, height=block.height),
            self._view(rpc, "is_account_locked", account, height=block.height),
            self._paused(rpc, height=block.height),
            *(self._view(rpc, "is_nonce_used", {**account, "nonce": nonce}, height=block.height) for nonce in nonces),
            *(self._view(rpc, "is_valid_salt", {"salt": known}, height=block.height) for known in salts),
        )
        flags = [_flag(answer) for answer in answers]
        return VerifierReading(
            height=block.height,
            block_time=block.time,
            observed_at=observed_at,
            credited=self._credited(balances),
            salt=_salt(salt),
            fee_pips=_whole(fee),
            key_registered=_flag(registered),
            account_locked=_flag(locked),
            contract_paused=_flag(paused),
            nonces=dict(zip(nonces, flags[: len(nonces)], strict=True)),
            salts=dict(zip(salts, flags[len(nonces) :], strict=True)),
        )

    async def simulate(self, signed: Sequence[dict[str, Any]]) -> Simulation:
        """How the contract would judge these intents now; its refusal is an outcome, not an error."""
        return await self._endpoints.ask(lambda rpc: self._simulate(rpc, signed))

    async def _simulate(self, rpc: NearRpc, signed: Sequence[dict[str, Any]]) -> Simulation:
        block = await rpc.final_block()
        try:
            answer = await self._view(rpc, "simulate_intents", {"signed": list(signed)}, height=block.height)
        except ContractPanic as panic:
            return Simulation(refusal=panic.text, unmatched={}, current_salt=None, fee_pips=None)
        try:
            answer = mapping(answer, "the simulation")
            violated = mapping(answer.get("invariant_violated") or {}, "invariant_violated")
            unmatched = mapping(violated.get("unmatched_deltas") or {}, "unmatched_deltas")
            state = mapping(answer.get("state"), "the state")
            return Simulation(
                refusal="the sums overflow" if violated.get("error") == "overflow" else None,
                unmatched={token: Delta.parse(delta) for token, delta in unmatched.items()},
                current_salt=_salt(state.get("current_salt")),
                fee_pips=_whole(state.get("fee")),
            )
        except ValueError as error:
            raise RpcUnavailable(f"the simulation is not readable: {error}") from None

    async def transaction_fills(self, tx_hash: str, account: str) -> list[VerifierFill]:
        """The account's intents that a final transaction executed, with what they moved."""
        events = await self._events_of(tx_hash, account)
        moved = [
            VerifierFill(quote_hash=fill.intent_hash, tx_hash=tx_hash, diff=fill.diff, nonce=fill.nonce)
            for fill in events.fills
        ]
        told = {fill.intent_hash for fill in events.fills}
        others = [
            VerifierFill(quote_hash=intent, tx_hash=tx_hash, diff=None, nonce=nonce)
            for nonce, intent in events.executed.items()
            if intent not in told
        ]
        return [*moved, *others]

    async def fills_of_use(self, nonce: str, height: int) -> list[VerifierFill]:
        """What the transaction shows that used a nonce in a block; it is searched in the blocks just before.

        Empty where none of them did: the contract can be called in other ways.

        Raises:
            RpcUnavailable: not all of them could be looked into.

        """

        async def find(rpc: NearRpc) -> str | None:
            left, skipped = TRANSACTIONS_MAX, 0
            for each in (height - 1, height - 2, height):
                try:
                    transactions = await rpc.transactions_in(each, receiver=self._contract)
                except BlockUnknown:
                    skipped += 1
                    if each == height or skipped > 1:
                        raise RpcUnavailable(f"the node does not keep the blocks before {height}") from None
                    continue
                for tx_hash, signer in transactions:
                    if not left:
                        raise RpcUnavailable(f"more than {TRANSACTIONS_MAX} transactions before block {height}")
                    left -= 1
                    if nonce in (await self._read_events(rpc, tx_hash, sender=signer)).executed:
                        return tx_hash
            return None

        async def find_two(rpc: NearRpc, witness: NearRpc) -> str | None:
            return await find(rpc) or await find(witness)

        tx_hash = await (self._endpoints.ask_two(find_two) if self._cross_check else self._endpoints.ask(find))
        return [] if tx_hash is None else await self.transaction_fills(tx_hash, self.account)

    async def executed_intents(self, tx_hash: str, account: str) -> dict[str, str]:
        """Nonce to the account's intent that used it in a final transaction."""
        return (await self._events_of(tx_hash, account)).executed

    async def _events_of(self, tx_hash: str, account: str) -> AccountEvents:
        """What a final transaction shows of an account, from the contract's own successful receipts only.

        With `cross_check` a second endpoint must say the same.
        """

        async def read_one(rpc: NearRpc) -> AccountEvents:
            return await self._read_events(rpc, tx_hash, sender=account)

        async def read_both(rpc: NearRpc, witness: NearRpc) -> AccountEvents:
            events: AccountEvents
            events, witnessed = await self._together(read_one(rpc), read_one(witness))
            if events != witnessed:
                raise RpcContradicted(f"two endpoints contradict each other about transaction {tx_hash}")
            return events

        return await (self._endpoints.ask_two(read_both) if self._cross_check else self._endpoints.ask(read_one))

    async def _read_events(self, rpc: NearRpc, tx_hash: str, *, sender: str) -> AccountEvents:
        transaction = await rpc.transaction(tx_hash, sender=sender)
        try:
            logs = successful_logs(transaction, contract=self._contract)
        except NotExact as error:
            raise RpcUnavailable(f"the transaction is not readable: {error}") from None
        return read_events(logs, account=self.account)

    async def _view(self, rpc: NearRpc, method: str, arguments: dict[str, Any], *, height: int) -> Any:
        async with self._slots:
            return await rpc.view(self._contract, method, arguments, height=height)

    async def _paused(self, rpc: NearRpc, *, height: int) -> bool:
        """Whether execution is paused, which no view shows.

        The same switch stops `simulate_intents` (verifier-contract section 1): asked to simulate nothing, it can only
        refuse for that reason, and its panic names the pause.
        """
        try:
            await self._view(rpc, "simulate_intents", {"signed": []}, height=height)
        except ContractPanic as panic:
            if "paused" in panic.text.lower():
                return True
            raise
        return False

    @staticmethod
    async def _together(*questions: Coroutine[Any, Any, Any]) -> list[Any]:
        """All answers, or the first error with the other questions given up."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(question) for question in questions]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    def _credited(self, balances: object) -> dict[str, Amount]:
        try:
            if isinstance(balances, list):
                amounts = [Amount.parse(balance) for balance in balances]
                if max(amounts, default=0) <= _BALANCE_MAX:
                    return dict(zip(self._asset_ids, amounts, strict=True))
        except ValueError:
            pass
        raise RpcUnavailable("mt_batch_balance_of: not one amount per token")


@contextmanager
def _unknown_is_not_kept() -> Iterator[None]:
    try:
        yield
    except BlockUnknown as error:
        raise BlocksNotKept(f"a node does not have an older block: {error}") from None


def _block_time(reading: VerifierReading) -> datetime:
    return reading.block_time


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise RpcUnavailable("a view answered something else than true or false")


def _whole(value: object) -> int:
    try:
        return whole(value)
    except NotExact as error:
        raise RpcUnavailable(f"fee: {error}") from None


def _salt(value: object) -> str:
    if isinstance(value, str) and _SALT.fullmatch(value):
        return value
    raise RpcUnavailable("current_salt: not 8 hex digits")
