"""What final blocks show: each reading is doubted first, then it credits, ends what it proves, asks older blocks."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.doubt import Belief, Believed, Older, Refused
from unrip.domain.evidence import Ended, Search
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import Count, Effect
from unrip.services.trade_executor.effects import (
    ApplyReading,
    FillsRead,
    FillsUnread,
    ReadFills,
    ReadVerifier,
    VerifierUnread,
)
from unrip.services.trade_executor.offers.believing import Believing
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.nonce import Interest
from unrip.services.trade_executor.offers.older_blocks import OlderBlocks
from unrip.services.trade_executor.relay.client import RelayClient
from unrip.services.trade_executor.report import ExecutionReport

#: The code of a refused salt, in the relay's refusals and in the contract's (protocol/message-bus section 12.2,
#: intents-and-signing section 8).
_INVALID_SALT = "invalid salt"


class ChainWatch:
    """One read of the verifier at a time, about the nonces that are due."""

    def __init__(self, book: Book, *, client: RelayClient, report: ExecutionReport, belief: Belief) -> None:
        self._book = book
        self._client = client
        self._report = report
        self.believing = Believing(belief)
        self.older_blocks = OlderBlocks(book, report)
        #: The newest final block that was read and believed.
        self.reading: VerifierReading | None = None
        #: Whether open offers remain that no final block was asked about since the start or the last reconnect.
        self.recovering = True
        self._asking = False
        #: The nonces of the last question; none if it was put before the present connection was opened: its answer may
        #: be of a block before that.
        self._asked: frozenset[str] = frozenset()
        #: Transactions whose fills are being read.
        self._fills_asked: set[str] = set()
        #: Whether something became known that the reading under way may be too old for.
        self._ask_again = False

    # --- asking ----------------------------------------------------------------------------------------------------

    def ask(self, now: datetime) -> list[Effect]:
        """Ask about what is due, unless a question is under way."""
        if self._asking:
            return []
        self._asking = True
        due = [live for live in self._book.nonces.values() if live.due(now)]
        self._asked = frozenset(live.nonce for live in due)
        salts = tuple(dict.fromkeys(each.offer.salt for live in due for each in live.offers.values()))
        elsewhere = self.believing.refused is not None
        return [ReadVerifier(nonces=tuple(live.nonce for live in due), salts=salts, elsewhere=elsewhere)]

    def ask_anew(self, now: datetime) -> list[Effect]:
        """Ask at once, or as soon as the reading under way has come, which may be of an earlier block."""
        self._ask_again = self._asking
        return self.ask(now)

    def ask_about_all(self, now: datetime) -> list[Effect]:
        """Ask about every open offer, as on a new connection: notices of the time before it may be lost."""
        self._asked = frozenset()
        for live in self._book.nonces.values():
            if live.offers:
                live.ask(Interest.ONCE)
                live.unasked = True
        self.recovering = self.recovering or self._book.unasked()
        return self.ask_anew(now) if self.recovering and self._book.loaded else []

    def read_fills(self) -> list[Effect]:
        """Ask what the named transactions moved, again and again while the offers that they are named for are open."""
        unknown = [live for live in self._book.nonces.values() if live.fill is None]
        offers = [each for live in unknown for each in live.offers.values() if not each.closing]
        named = dict.fromkeys(tx_hash for each in offers for tx_hash in each.named)
        asked = [tx_hash for tx_hash in named if tx_hash not in self._fills_asked]
        self._fills_asked.update(asked)
        return [ReadFills(tx_hash=tx_hash) for tx_hash in asked]

    def on_refusal(self, text: str, now: datetime) -> list[Effect]:
        """React to a refusal by relay or contract: a refused salt is looked up at once, never chosen here."""
        if _INVALID_SALT not in text.lower():
            return []
        return [Count(name="salts_refused"), *self.ask_anew(now)]

    def undo(self, reason: str, now: datetime) -> list[Effect]:
        """Take back what is believed, as an operator decided, and read again at once."""
        self.believing.undo(reason)
        return self.ask_anew(now)

    # --- answers ---------------------------------------------------------------------------------------------------

    def on_unread(self, event: VerifierUnread, now: datetime) -> list[Effect]:
        """Note that nothing was read: what is known stays as it is."""
        count = Count(name="verifier_reads", labels={"outcome": "unread"})
        return [count, *self._report.unread(event.reason), *self._answered(now)]

    def on_read(self, reading: VerifierReading, judged: Believed | Older | Refused, now: datetime) -> list[Effect]:
        """Take a final block, if it is believed: one that is not ends, releases and replaces nothing."""
        because, told = self.believing.judged(judged)
        return [
            *self._report.read_again(),
            *told,
            *(self._on_believed(reading, because, now) if isinstance(judged, Believed) else []),
            *self._answered(now),
        ]

    def on_fills(self, event: FillsRead | FillsUnread) -> list[Effect]:
        """Take what a transaction moved, or note that it could not be read or is not final."""
        self._fills_asked.discard(event.tx_hash)
        for fill in event.fills if isinstance(event, FillsRead) else ():
            self._book.take_fill(fill)
        sought = self._book.nonces.get(event.nonce)
        if sought is not None and isinstance(event, FillsUnread):
            sought.not_found_now()
        elif sought is not None:
            sought.search = Search.NONE
        return []

    def _answered(self, now: datetime) -> list[Effect]:
        """Note that the question under way is answered; what became known meanwhile may ask the next one at once."""
        self._asking = False
        again, self._ask_again = self._ask_again, False
        return self.ask(now) if again else []

    def _on_believed(self, reading: VerifierReading, replaces: str | None, now: datetime) -> list[Effect]:
        book, self.reading = self._book, reading
        for live in book.nonces.values():
            if live.nonce in self._asked & reading.nonces.keys():
                live.asked()
        verdicts = book.judged(reading) if book.complete else {}
        ends = {nonce: verdict for nonce, verdict in verdicts.items() if isinstance(verdict, Ended)}
        write = ApplyReading(
            account=book.account,
            height=reading.height,
            credited=reading.credited,
            endings=(),
            block_time=reading.block_time,
            replaces=replaces,
        )
        written = book.close(
            ends, now, write
        )  # before what older blocks end: the ledger is never older than its evidence
        used = [live for live in book.nonces.values() if reading.nonces.get(live.nonce, False)]
        traces = [effect for live in used for effect in live.trace_revocation()]
        looks = {nonce: verdict for nonce, verdict in verdicts.items() if nonce not in ends}
        looked = self.older_blocks.look(reading, now, looks)
        return [*written, *traces, *self.read_fills(), *looked, *self._recovered()]

    def _recovered(self) -> list[Effect]:
        if not (self.recovering and self._book.loaded and self._client.up) or self._book.unasked():
            return []
        self.recovering = False
        return self._report.recovered(len([*self._book.offers()]))
