"""Guaranteed notices about our offers: acknowledged once everything that they caused is committed.

The relay tells a notice again until it is acknowledged (protocol/message-bus section 8.1), so what is not committed
yet is simply not acknowledged yet. That holds for both: the end of the offer in the ledger, and the record of the
notice at the broker, also where another evidence or an earlier life has ended the offer already.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from unrip.domain.attempt import Offer
from unrip.net.events import FrameReceived
from unrip.service.contract import Effect, Publish, Published, PublishFailed
from unrip.services.trade_executor.conversation import Conversation, notice_id
from unrip.services.trade_executor.effects import FindOffer
from unrip.venues.near_intents.relay import StatusNotice

#: Notices that are remembered after their acknowledgement, in case it is lost.
_DONE_MAX = 1_000
#: Notices that wait for the ledger's word. The relay tells again what is not acknowledged, so any more are left to it.
_SOUGHT_MAX = 256


@dataclass
class _Kept:
    """A notice that may not be acknowledged yet."""

    quote_hash: str
    #: The record of it, to be published again where the broker did not take it.
    record: Publish
    #: Deliveries on the present connection, by their number.
    deliveries: dict[int, StatusNotice] = field(default_factory=dict)
    recorded: bool = False
    unrecorded: bool = False
    #: The ledger has committed the end of the offer.
    ended: bool = False


class Receipts:
    """The notices that wait for a commit, at most a few per open offer."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        #: By the name of the notice, which is the same for every delivery.
        self._kept: dict[str, _Kept] = {}
        #: Notices about no open offer, by the hash that the ledger is to be asked about.
        self._sought: dict[str, tuple[StatusNotice, FrameReceived]] = {}
        #: The ledger is asked about one at a time: while it hangs, look-ups do not pile up.
        self._asking = False
        self._done: OrderedDict[str, None] = OrderedDict()

    def again(self, notice: StatusNotice) -> list[Effect] | None:
        """What a repeated delivery asks for, None where the notice is neither waiting nor done."""
        kept = self._kept.get(notice_id(notice))
        if kept is None:
            return self._conversation.acknowledge(notice) if notice_id(notice) in self._done else None
        self._delivered(kept, notice)
        if not kept.unrecorded:
            return []
        kept.unrecorded = False
        return [kept.record]

    def keep(self, notice: StatusNotice, record: Publish, *, ended: bool = False) -> None:
        """Acknowledge this notice when its record and the end of its offer are committed."""
        if record.token is not None:
            kept = self._kept.setdefault(record.token, _Kept(quote_hash=notice.quote_hash, record=record))
            kept.ended = ended
            self._delivered(kept, notice)

    def seek(self, notice: StatusNotice, frame: FrameReceived) -> list[Effect]:
        """A notice about no open offer: one of ours that has ended, or somebody else's; the ledger knows."""
        if notice.seq is None or (notice.quote_hash not in self._sought and len(self._sought) >= _SOUGHT_MAX):
            return []
        self._sought[notice.quote_hash] = (notice, frame)
        return self._ask()

    def found(self, quote_hash: str, offer: Offer | None) -> list[Effect]:
        """The ledger's word: a notice of ours is recorded before it is acknowledged, another is nothing to us."""
        self._asking = False
        sought = self._sought.pop(quote_hash, None)
        effects = [] if sought is None else self._judged(*sought, offer)
        return [*effects, *self._ask()]

    def _ask(self) -> list[Effect]:
        if self._asking or not self._sought:
            return []
        self._asking = True
        return [FindOffer(quote_hash=next(iter(self._sought)))]

    def _judged(self, notice: StatusNotice, frame: FrameReceived, offer: Offer | None) -> list[Effect]:
        if offer is None:
            return self._conversation.acknowledge(notice)
        if (again := self.again(notice)) is not None:
            return again
        record = self._conversation.record(notice, frame, offer)
        self.keep(notice, record, ended=True)
        return [record]

    def not_found(self) -> None:
        """The ledger did not answer: what was sought comes again."""
        self._asking = False
        self._sought.clear()

    def on_record(self, event: Published | PublishFailed) -> list[Effect]:
        """The broker has the record of a notice, or may not have it: then the next delivery publishes it again."""
        kept = self._kept.get(event.token)
        if kept is None:
            return []
        if isinstance(event, PublishFailed):
            kept.unrecorded = True
            return []
        kept.recorded = True
        return self._acknowledge(event.token, kept)

    def ended(self, quote_hash: str) -> list[Effect]:
        """The end of an offer is committed."""
        effects: list[Effect] = []
        for token, kept in list(self._kept.items()):
            if kept.quote_hash == quote_hash:
                kept.ended = True
                effects += self._acknowledge(token, kept)
        return effects

    def reconnected(self) -> None:
        """Numbers of an earlier connection's subscription are void; the relay tells everything again."""
        self._sought.clear()
        for kept in self._kept.values():
            kept.deliveries.clear()

    @staticmethod
    def _delivered(kept: _Kept, notice: StatusNotice) -> None:
        if notice.seq is not None:
            kept.deliveries[notice.seq] = notice

    def _acknowledge(self, token: str, kept: _Kept) -> list[Effect]:
        if not (kept.recorded and kept.ended):
            return []
        del self._kept[token]
        self._done[token] = None
        if len(self._done) > _DONE_MAX:
            self._done.popitem(last=False)
        return [effect for notice in kept.deliveries.values() for effect in self._conversation.acknowledge(notice)]
