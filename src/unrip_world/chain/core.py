"""A chain of blocks over the verifier: what was submitted runs in the next block and is final some blocks later."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unrip_world.codec import NS_PER_MS, base58_text
from unrip_world.kept import Kept
from unrip_world.verifier.contract import Receipt, Verifier
from unrip_world.verifier.errors import PanicError


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """One function call on the verifier."""

    tx_hash: str
    signer_id: str
    method: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a transaction ended, and in which block; `error` is the contract's text."""

    transaction: Transaction
    height: int
    block_hash: str
    error: str | None
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One block; views at its height see the state after its transactions."""

    height: int
    hash: str
    prev_hash: str
    timestamp_ns: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainMemory:
    """What a chain must not forget beside its blocks and outcomes."""

    pending: list[Transaction]
    submitted: int
    final_height: int


class Chain:
    """Produce a block every `block_ms`; keep the last `keep_blocks` of them and as many transaction outcomes."""

    def __init__(
        self,
        *,
        verifier: Verifier,
        genesis_height: int,
        block_ms: int,
        final_lag_blocks: int,
        keep_blocks: int,
        now_ns: int,
    ) -> None:
        self._verifier = verifier
        self._interval_ns = block_ms * NS_PER_MS
        #: How far the final block is behind the head; it may change, and what was final stays final.
        self.final_lag_blocks = final_lag_blocks
        self._pending: list[Transaction] = []
        self._submitted = 0
        self.outcomes: Kept[str, Outcome] = Kept(bound=keep_blocks)
        nothing = base58_text(bytes(32))
        genesis = Block(
            height=genesis_height,
            hash=_block_hash(nothing, genesis_height, now_ns),
            prev_hash=nothing,
            timestamp_ns=now_ns,
            outcomes=(),
        )
        self.blocks: Kept[int, Block] = Kept(bound=keep_blocks)
        self._heights: dict[str, int] = {}
        #: The newest final height: a reorganised head does not take finality back.
        self._final_height = genesis_height
        self._remember(genesis)
        self.next_block_at_ns = now_ns + self._interval_ns

    def submit(self, *, signer_id: str, method: str, arguments: Mapping[str, Any]) -> str:
        """Queue a call for the next block and return its transaction hash."""
        transaction = self.prepare(signer_id=signer_id, method=method, arguments=arguments)
        self.send(transaction)
        return transaction.tx_hash

    def prepare(self, *, signer_id: str, method: str, arguments: Mapping[str, Any]) -> Transaction:
        """Make a call that has its hash already and is nowhere until it is sent."""
        self._submitted += 1
        seed = f"{self.head.hash}/{self._submitted}/{signer_id}/{method}"
        tx_hash = base58_text(hashlib.sha256(seed.encode()).digest())
        return Transaction(tx_hash=tx_hash, signer_id=signer_id, method=method, arguments=arguments)

    def send(self, transaction: Transaction) -> None:
        """Queue a prepared call for the next block."""
        self._pending.append(transaction)

    def produce(self, now_ns: int) -> Block:
        """Run what is pending in a new block of this time."""
        height = self.head.height + 1
        # A clock that was set back makes no block older than the one before.
        time_ns = max(now_ns, self.head.timestamp_ns)
        block_hash = _block_hash(self.head.hash, height, time_ns)
        outcomes = tuple(self._run(tx, height=height, block_hash=block_hash, now_ns=time_ns) for tx in self._pending)
        self._pending = []
        block = Block(height=height, hash=block_hash, prev_hash=self.head.hash, timestamp_ns=time_ns, outcomes=outcomes)
        self._remember(block)
        # After a pause of the process the chain goes on from now instead of filling the gap.
        self.next_block_at_ns = max(self.next_block_at_ns, now_ns - self._interval_ns) + self._interval_ns
        return block

    def _run(self, tx: Transaction, *, height: int, block_hash: str, now_ns: int) -> Outcome:
        error: str | None = None
        receipts: tuple[Receipt, ...]
        try:
            receipts = tuple(self._verifier.apply(tx.method, tx.arguments, height=height, now_ns=now_ns))
        except PanicError as panic:
            error = panic.text
            receipts = (Receipt(executor_id=self._verifier.contract_id, logs=()),)
        return Outcome(transaction=tx, height=height, block_hash=block_hash, error=error, receipts=receipts)

    def unfinal(self, blocks: int) -> list[Block]:
        """Give the last blocks, newest first, as many of them as are not final."""
        lowest = max(self.final.height, self.head.height - blocks)
        return [self.blocks[height] for height in range(self.head.height, lowest, -1)]

    def reorganise(self, gone: Sequence[Block], *, requeue: bool) -> None:
        """Take back these blocks as `unfinal` gave them; their calls run again in the next block, or are lost."""
        for block in gone:
            del self.blocks[block.height], self._heights[block.hash]
            for outcome in block.outcomes:
                self.outcomes.pop(outcome.transaction.tx_hash, None)
            if requeue:
                self._pending[:0] = [outcome.transaction for outcome in block.outcomes]
            self.head = self.blocks[block.height - 1]
        self._verifier.storage.revert(self.head.height)

    def _remember(self, block: Block) -> None:
        self.head = block
        self._final_height = max(self._final_height, block.height - self.final_lag_blocks)
        oldest = next(iter(self.blocks.values()), block)
        self.blocks[block.height] = block
        self._heights[block.hash] = block.height
        if oldest.height not in self.blocks:
            del self._heights[oldest.hash]
        for outcome in block.outcomes:
            self.outcomes[outcome.transaction.tx_hash] = outcome

    def memory(self) -> ChainMemory:
        """Give what must not be forgotten beside blocks and outcomes."""
        return ChainMemory(pending=list(self._pending), submitted=self._submitted, final_height=self._final_height)

    def resume(self, memory: ChainMemory) -> None:
        """Go on from the blocks and outcomes that were put back."""
        self._pending, self._submitted = list(memory.pending), memory.submitted
        self._final_height = memory.final_height
        self._heights = {block.hash: block.height for block in self.blocks.values()}
        self.head = self.blocks[max(self.blocks)]

    @property
    def final(self) -> Block:
        """The newest final block."""
        return self.blocks[max(self._final_height, next(iter(self.blocks)))]

    def newest_first(self) -> Iterator[Block]:
        """Give the kept blocks."""
        return self.blocks.newest_first()

    def block(self, block_id: int | str) -> Block | None:
        """Find a kept block by height or hash."""
        return self.blocks.get(block_id if isinstance(block_id, int) else self._heights.get(block_id, -1))

    def outcome(self, tx_hash: str) -> Outcome | None:
        """How a transaction ended, if it is in a kept block."""
        return self.outcomes.get(tx_hash)


def _block_hash(prev_hash: str, height: int, now_ns: int) -> str:
    return base58_text(hashlib.sha256(f"{prev_hash}/{height}/{now_ns}".encode()).digest())
