"""The books in memory; `tests/contract/store/test_books_store.py` holds both to the same promises."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from unrip.domain.inventory import EvidenceKey, Judged, KeptBooks
from unrip.store.books import FoundBooks, KeepOutcome


class MemoryBooks:
    """See `books.BooksStore`."""

    def __init__(self) -> None:
        self._found: dict[str, FoundBooks] = {}
        #: By account: each piece of evidence, and whether it was counted.
        self.evidence: dict[str, dict[EvidenceKey, Judged]] = {}

    def declare_first_start(self, account: str) -> None:
        """An operator declares that what is credited at the first reading is the owner's own."""
        self._found.setdefault(account, FoundBooks(revision=0, declared=True, kept=None))

    async def recall(self, account: str) -> FoundBooks:
        """What was kept last."""
        return self._found.get(account, FoundBooks(revision=0, declared=False, kept=None))

    async def keep(self, account: str, kept: KeptBooks, judged: Sequence[Judged], *, revision: int) -> KeepOutcome:
        """Keep what follows a revision, with the evidence that makes the difference, in one commit or not at all."""
        if (await self.recall(account)).revision != revision:
            return KeepOutcome()
        evidence = self.evidence.setdefault(account, {})
        known = tuple(each.change.key for each in judged if _is_known(each, evidence))
        if known:
            return KeepOutcome(known=known)
        evidence |= {each.change.key: each for each in judged}
        self._found[account] = FoundBooks(revision=revision + 1, declared=True, kept=kept)
        return KeepOutcome(revision=revision + 1)

    async def close(self) -> None:
        """There is nothing to give back."""


def _is_known(judged: Judged, evidence: dict[EvidenceKey, Judged]) -> bool:
    """Earlier versions knew a mint by itself, without its deposits."""
    key = judged.change.key
    whole = evidence.get(replace(key, part=""))
    return key in evidence or (whole is not None and whole.change.change == judged.change.change)
