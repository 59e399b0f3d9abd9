"""From accepted offers to the chain and back: who gets which notice, and when."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unrip_world.chain.core import Block, Chain, Outcome, Transaction
from unrip_world.codec import NS_PER_MS, base58_text
from unrip_world.faults import Faults
from unrip_world.kept import Kept
from unrip_world.relay.auction import Offer

RELAY_ACCOUNT = "relay.world.near"
#: The reason for a failed batch that no block holds any more.
LOST = "lost in a reorganisation"
_KEPT = 10_000


@dataclass(kw_only=True)
class Settlement:
    """One batch on its way: solvers' offers and the asker's intents."""

    tx_hash: str
    quote_id: str | None
    offers: tuple[Offer, ...]
    intent_hashes: tuple[str, ...]
    status: str = "broadcast"
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SettlementsMemory:
    """The notices that were not sent yet, beside the batches themselves."""

    #: Height and transaction.
    awaiting_final: list[tuple[int, str]]
    withheld: list[Transaction]
    #: Due time and notice.
    notices: list[tuple[int, dict[str, Any]]]


class Settlements:
    """All batches that the relay published; the last ones are kept."""

    def __init__(self, *, chain: Chain, faults: Faults, status_at: str) -> None:
        self._chain, self._faults, self._status_at = chain, faults, status_at
        self.by_tx: Kept[str, Settlement] = Kept(bound=_KEPT)
        self._by_intent: Kept[str, Settlement] = Kept(bound=_KEPT)
        #: Included batches that wait for finality before their notices are sent.
        self._awaiting_final: list[tuple[int, Settlement]] = []
        self._withheld: list[Transaction] = []
        self._notices: list[tuple[int, Mapping[str, Any]]] = []

    def publish(
        self,
        *,
        quote_id: str | None,
        offers: Sequence[Offer],
        asker: Sequence[Mapping[str, Any]],
        intent_hashes: Sequence[str],
    ) -> Settlement:
        """Send solvers' and asker's intents to the chain as one atomic batch."""
        signed = [*(offer.signed for offer in offers), *asker]
        call = self._chain.prepare(signer_id=RELAY_ACCOUNT, method="execute_intents", arguments={"signed": signed})
        if self._withholds(asked_by_rpc=quote_id is None):
            self._withheld.append(call)
        else:
            self._chain.send(call)
        tx_hash = call.tx_hash
        settlement = Settlement(
            tx_hash=tx_hash, quote_id=quote_id, offers=tuple(offers), intent_hashes=tuple(intent_hashes)
        )
        self.by_tx[tx_hash] = settlement
        self._index(settlement)
        return settlement

    def _withholds(self, *, asked_by_rpc: bool) -> bool:
        pending = self._faults.get("relay", "stay_pending")
        kept_back = asked_by_rpc and pending is not None and not pending["executed"]
        return kept_back or self._faults.get("relay", "withhold_settlement") is not None

    def _index(self, settlement: Settlement) -> None:
        self._by_intent.update(dict.fromkeys(settlement.intent_hashes, settlement))

    def memory(self) -> SettlementsMemory:
        """Give the notices that were not sent yet."""
        return SettlementsMemory(
            awaiting_final=[(height, settlement.tx_hash) for height, settlement in self._awaiting_final],
            withheld=list(self._withheld),
            notices=[(due_ns, dict(notice)) for due_ns, notice in self._notices],
        )

    def resume(self, memory: SettlementsMemory) -> None:
        """Go on with the batches that were put back, and send the notices that were not sent."""
        for settlement in self.by_tx.values():
            self._index(settlement)
        self._awaiting_final = [(height, self.by_tx[tx_hash]) for height, tx_hash in memory.awaiting_final]
        self._withheld, self._notices = list(memory.withheld), list(memory.notices)

    def release(self) -> None:
        """Send what was withheld, once nothing withholds any more; by now deadlines may have passed."""
        if self._withholds(asked_by_rpc=True):
            return
        for call in self._withheld:
            self._chain.send(call)
        self._withheld.clear()

    def find(self, intent_hash: str) -> Settlement | None:
        """Find the batch that carries an asker's intent."""
        return self._by_intent.get(intent_hash)

    def on_block(self, block: Block, *, now_ns: int) -> list[Settlement]:
        """Take in the outcomes of a block and return the batches that ended."""
        ended = [self._conclude(outcome) for outcome in block.outcomes]
        settlements = [settlement for settlement in ended if settlement is not None]
        self._awaiting_final += [(block.height, item) for item in settlements if item.status == "settled"]
        visible = block.height if self._status_at == "optimistic" else self._chain.final.height
        for height, settlement in self._awaiting_final:
            if height <= visible:
                self._tell(settlement, now_ns)
        self._awaiting_final = [item for item in self._awaiting_final if item[0] > visible]
        return settlements

    def on_revert(self, block: Block, *, lost: bool) -> list[tuple[str, Settlement]]:
        """Take back a block; gives its batches with the status that is no longer true. Notices stay told."""
        self._awaiting_final = [item for item in self._awaiting_final if item[0] != block.height]
        reverted: list[tuple[str, Settlement]] = []
        for outcome in block.outcomes:
            settlement = self.by_tx.get(outcome.transaction.tx_hash)
            if settlement is not None:
                reverted.append((settlement.status, settlement))
                settlement.status, settlement.error = ("failed", LOST) if lost else ("broadcast", None)
                self.by_tx.touch(settlement.tx_hash)
        return reverted

    def _conclude(self, outcome: Outcome) -> Settlement | None:
        settlement = self.by_tx.get(outcome.transaction.tx_hash)
        if settlement is not None:
            settlement.status = "settled" if outcome.error is None else "failed"
            settlement.error = outcome.error
            self.by_tx.touch(settlement.tx_hash)
        return settlement

    def _tell(self, settlement: Settlement, now_ns: int) -> None:
        if self._faults.get("relay", "drop_status") is not None or not settlement.intent_hashes:
            return
        delay = self._faults.get("relay", "delay_status_ms")
        due_ns = now_ns + (0 if delay is None else delay["ms"] * NS_PER_MS)
        copies = 1 if self._faults.get("relay", "duplicate_status") is None else 2
        for offer in settlement.offers:
            for tx_hash in self._told_hashes(settlement):
                notice = {
                    "quote_hash": offer.quote_hash,
                    "intent_hash": settlement.intent_hashes[0],
                    "tx_hash": tx_hash,
                }
                self._notices += [(due_ns, notice)] * copies

    def _told_hashes(self, settlement: Settlement) -> list[str]:
        """Give the transactions that notices name: the right one, unless a fault contradicts it."""
        wrong = self._faults.get("relay", "wrong_status_tx")
        if wrong is None:
            return [settlement.tx_hash]
        right = [settlement.tx_hash] if wrong["also_right"] else []
        return [wrong["tx_hash"] or _made_up(settlement.tx_hash), *right]

    def tell_falsely(self, quote_hash: str, now_ns: int) -> None:
        """Send a notice of a settlement that never was."""
        notice = {
            "quote_hash": quote_hash,
            "intent_hash": _made_up(f"intent/{quote_hash}"),
            "tx_hash": _made_up(f"tx/{quote_hash}"),
        }
        self._notices.append((now_ns, notice))

    def is_settled(self, quote_hash: str) -> bool:
        """Whether a batch with this offer is in a block."""
        settled = (item for item in self.by_tx.values() if item.status == "settled")
        return any(offer.quote_hash == quote_hash for item in settled for offer in item.offers)

    def due_notices(self, now_ns: int) -> list[Mapping[str, Any]]:
        """Take the notices whose time has come."""
        due = [notice for due_ns, notice in self._notices if due_ns <= now_ns]
        self._notices = [item for item in self._notices if item[0] > now_ns]
        return due

    def next_notice_ns(self) -> int | None:
        """When the next notice is due."""
        return min((due_ns for due_ns, _ in self._notices), default=None)


def _made_up(seed: str) -> str:
    """Make a hash that nothing on the chain has, always the same one for a seed."""
    return base58_text(hashlib.sha256(f"made up/{seed}".encode()).digest())
