"""The world's own verdict on every account that trades: what settled, what failed and whose fault it was."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from unrip_world.chain.core import Block, Outcome
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.message import TokenDiff, decode_message
from unrip_world.verifier.payload import decode_payload
from unrip_world.verifier.state import BALANCES, NONCES

INSUFFICIENT = "insufficient balance or overflow"


@dataclass(kw_only=True)
class Record:
    """What one account did."""

    settlements: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    #: Failures in which this account could not cover what it had signed.
    insufficient_balance: int = 0
    flows: Counter[str] = field(default_factory=Counter)


class Judge:
    """Reads blocks as an outsider would, and the storage where the contract's text names nobody."""

    def __init__(self, *, verifier: Verifier) -> None:
        self._verifier = verifier
        self._records: dict[str, Record] = defaultdict(Record)

    def memory(self) -> dict[str, Record]:
        """Give the verdicts by account."""
        return dict(self._records)

    def resume(self, records: dict[str, Record]) -> None:
        """Go on counting."""
        self._records.update(records)

    def on_block(self, block: Block) -> None:
        """Take in the batches of a block."""
        self._count(block, by=1)

    def on_revert(self, block: Block) -> None:
        """Take back a block, while the storage still knows what was before it."""
        self._count(block, by=-1)

    def _count(self, block: Block, *, by: int) -> None:
        for outcome in block.outcomes:
            if outcome.transaction.method != "execute_intents":
                continue
            if outcome.error is None:
                self._settled(outcome, by)
            else:
                self._failed(outcome, by)

    def _settled(self, outcome: Outcome, by: int) -> None:
        for line in outcome.receipts[0].logs:
            event = json.loads(line.removeprefix("EVENT_JSON:"))
            if event["event"] == "token_diff":
                for entry in event["data"]:
                    record = self._records[entry["account_id"]]
                    record.settlements += by
                    record.flows.update({token: by * int(delta) for token, delta in entry["diff"].items()})

    def _failed(self, outcome: Outcome, by: int) -> None:
        before = self._verifier.storage.at(outcome.height - 1)
        for account, diff in _signed_diffs(outcome):
            record = self._records[account]
            record.failed[str(outcome.error)] += by
            short = any(before.get(BALANCES, (account, token), 0) < -delta for token, delta in diff.items())
            if outcome.error == INSUFFICIENT and short:
                record.insufficient_balance += by

    def verdict(self, account: str, *, height: int) -> dict[str, Any]:
        """Give the verdict on one account at a height."""
        record = self._records.get(account, Record())
        nonces = self._verifier.storage.at(height).items(NONCES)
        return {
            "settlements": record.settlements,
            "failed": dict(+record.failed),
            "insufficient_balance": record.insufficient_balance,
            "nonces_used": sum(used for (who, _), used in nonces if who == account),
            "flows": {token: str(amount) for token, amount in record.flows.items()},
        }

    @property
    def accounts(self) -> list[str]:
        """All accounts that traded or tried to."""
        return sorted(self._records)


def _signed_diffs(outcome: Outcome) -> Iterator[tuple[str, dict[str, int]]]:
    for signed in outcome.transaction.arguments["signed"]:
        try:
            message = decode_message(decode_payload(signed))
        except PanicError:
            continue
        yield from ((message.signer_id, intent.diff) for intent in message.intents if isinstance(intent, TokenDiff))
