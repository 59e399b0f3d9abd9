"""Guaranteed notices about our offers: acknowledged once everything that they caused is committed.

The relay repeats a notice until it is acknowledged (protocol/message-bus section 8.1), so what is not committed yet is
simply not acknowledged yet. That holds for both: the end of the offer in the ledger, and the record of the notice at
the broker, also where other evidence or an earlier life has ended the offer already.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from unrip.domain.attempt import Offer
from unrip.frame.contract import Effect, Publish, Published, PublishFailed
from unrip.net.events import FrameReceived
from unrip.services.trade_executor.effects import FindOffer
from unrip.services.trade_executor.relay.client import RelayClient, notice_id
from unrip.venues.near_intents.relay import StatusNotice

#: How many notices are remembered after their acknowledgement, in case it is lost.
_DONE_MAX = 1_000
#: How many notices about no open offer may wait for the ledger. The relay repeats what is not acknowledged, so more are
#: left to it.
_SOUGHT_MAX = 256


@dataclass
class Notice:
    """A notice that may not be acknowledged yet."""

    #: The record of it, to be published again where the broker did not take it.
    record: Publish
    #: Deliveries on the present connection, by their number.
    deliveries: dict[int, StatusNotice] = field(default_factory=dict)
    recorded: bool = False
    unrecorded: bool = False
    #: Whether the ledger has committed the end of the offer.
    ended: bool = False

    def delivered(self, notice: StatusNotice) -> None:
        """Note a delivery, perhaps a repeated one."""
        if notice.seq is not None:
            self.deliveries[notice.seq] = notice


class Acknowledgements:
    """The notices that wait for a commit, at most a few per open offer."""

    def __init__(self, client: RelayClient) -> None:
        self._client = client
        #: Notices by name, which is the same for every delivery.
        self._waiting: dict[str, Notice] = {}
        #: Notices about no open offer, by the hash that the ledger is to be asked about.
        self._sought: dict[str, tuple[StatusNotice, FrameReceived]] = {}
        #: The hash that the ledger is asked about, one at a time: while it hangs, look-ups do not pile up.
        self._asking = False
        self._done: OrderedDict[str, None] = OrderedDict()

    def again(self, notice: StatusNotice) -> list[Effect] | None:
        """What a repeated delivery asks for; None where the notice is neither waiting nor done."""
        name = notice_id(notice)
        waiting = self._waiting.get(name)
        if waiting is None:
            return self._client.acknowledge(notice) if name in self._done else None
        waiting.delivered(notice)
        if not waiting.unrecorded:
            return []
        waiting.unrecorded = False
        return [waiting.record]

    def keep(self, notice: StatusNotice, record: Publish) -> list[Notice]:
        """Acknowledge this notice when its record and the end of its offer are committed; none where nobody waits."""
        if record.token is None:
            return []
        kept = self._waiting.setdefault(record.token, Notice(record=record))
        kept.delivered(notice)
        return [kept]

    def on_record(self, event: Published | PublishFailed) -> list[Effect]:
        """Note that the broker has the record of a notice, or may not: then the next delivery publishes it again."""
        waiting = self._waiting.get(event.token)
        if waiting is None:
            return []
        waiting.recorded, waiting.unrecorded = isinstance(event, Published), isinstance(event, PublishFailed)
        return self._acknowledge(waiting)

    def ended(self, notices: Iterable[Notice]) -> list[Effect]:
        """Note that the end of the offer that these are about is committed."""
        effects: list[Effect] = []
        for notice in notices:
            notice.ended = True
            effects += self._acknowledge(notice)
        return effects

    def reconnected(self) -> None:
        """Forget the delivery numbers of an earlier connection: the relay repeats everything on the new one."""
        self._sought.clear()
        for waiting in self._waiting.values():
            waiting.deliveries.clear()

    # --- notices about no open offer -------------------------------------------------------------------------------

    def seek(self, notice: StatusNotice, frame: FrameReceived) -> list[Effect]:
        """Ask the ledger about a notice about no open offer: it is one of ours that has ended, or somebody else's."""
        if notice.seq is None or (notice.quote_hash not in self._sought and len(self._sought) >= _SOUGHT_MAX):
            return []
        self._sought[notice.quote_hash] = (notice, frame)
        return self._ask()

    def found(self, quote_hash: str, offer: Offer | None) -> list[Effect]:
        """Take the ledger's answer: a notice of ours is recorded before it is acknowledged, another is dropped."""
        self._asking = False
        sought = self._sought.pop(quote_hash, None)
        effects = [] if sought is None else self._judged(*sought, offer)
        return [*effects, *self._ask()]

    def not_found(self) -> None:
        """Note that the ledger did not answer: what was sought comes again."""
        self._asking = False
        self._sought.clear()

    def _ask(self) -> list[Effect]:
        if self._asking or not self._sought:
            return []
        self._asking = True
        return [FindOffer(quote_hash=next(iter(self._sought)))]

    def _judged(self, notice: StatusNotice, frame: FrameReceived, offer: Offer | None) -> list[Effect]:
        if offer is None:
            return self._client.acknowledge(notice)
        if (again := self.again(notice)) is not None:
            return again
        record = self._client.record(notice, frame, offer)
        return [record, *self.ended(self.keep(notice, record))]

    def _acknowledge(self, notice: Notice) -> list[Effect]:
        token = notice.record.token
        if token is None or token not in self._waiting or not (notice.recorded and notice.ended):
            return []
        del self._waiting[token]
        self._done[token] = None
        if len(self._done) > _DONE_MAX:
            self._done.popitem(last=False)
        return [effect for each in notice.deliveries.values() for effect in self._client.acknowledge(each)]
