"""Records become rows. What is no event is set aside with a dead letter, and beats are thinned out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from unrip.bus.ports import Record
from unrip.domain.status import ExecutorVitals, HistoryVitals, ServiceStatus
from unrip.frame.contract import Count, Effect, Log
from unrip.frame.dead_letters import dead_letter_of_record
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Envelope, InvalidMessage
from unrip.messages.topics import DEAD_LETTER
from unrip.store.history import InvalidRecord, Position, TopicBatch
from unrip.store.history_tables import HistoryRow, row_of

#: How often an unchanged beat of an instance is stored (blueprint, section 10).
BEAT_EVERY = timedelta(minutes=1)


class Beats:
    """Which beats show something new."""

    def __init__(self) -> None:
        #: Instance to its last stored beat and when that was.
        self._stored: dict[str, tuple[ServiceStatus, datetime]] = {}

    def worth_storing(self, beat: ServiceStatus, at: datetime) -> bool:
        """Whether anything but lag and the height of the ledger's block has changed, or a minute has passed."""
        told = _without_clockwork(beat)
        last = self._stored.get(beat.instance)
        if last is not None and last[0] == told and at - last[1] < BEAT_EVERY:
            return False
        # An instance that is silent for longer would be stored anyway, so it need not be remembered.
        self._stored = {name: kept for name, kept in self._stored.items() if at - kept[1] < BEAT_EVERY}
        self._stored[beat.instance] = (told, at)
        return True


def _without_clockwork(beat: ServiceStatus) -> ServiceStatus:
    """The beat without what changes by itself, as time stamps do."""
    match beat.details:
        case ExecutorVitals(ledger=ledger) as details:
            still = None if ledger is None else msgspec.structs.replace(ledger, height=0)
            return msgspec.structs.replace(beat, details=msgspec.structs.replace(details, lag=0, ledger=still))
        case HistoryVitals() as details:
            return msgspec.structs.replace(beat, details=msgspec.structs.replace(details, lag=None))
    return beat


def batch_of(records: Iterable[Record], position: Position | None, beats: Beats) -> tuple[TopicBatch, list[Effect]]:
    """One topic's records, at least one, as a batch to write, and the effects that report those that are no events."""
    rows: list[HistoryRow] = []
    invalid: list[InvalidRecord] = []
    effects: list[Effect] = []
    for record in records:
        try:
            message = decode_event(record.topic, record.value)
        except InvalidMessage as error:
            invalid.append(InvalidRecord(offset=record.offset, reason=str(error), data=record.value))
            effects += _told_about(record, str(error))
            continue
        if _worth_storing(message, beats):
            rows.append(row_of(record.topic, record.offset, message, record.value))
    batch = TopicBatch(
        topic=record.topic,
        topic_id=record.topic_id,
        expected_offset=None if position is None else position.next_offset,
        next_offset=record.offset + 1,
        rows=tuple(rows),
        invalid=tuple(invalid),
    )
    return batch, effects


def _worth_storing(message: Envelope[object], beats: Beats) -> bool:
    payload = message.payload
    return not isinstance(payload, ServiceStatus) or beats.worth_storing(payload, message.observed_at)


def _told_about(record: Record, reason: str) -> list[Effect]:
    """Report a record that is no event. A dead letter that is itself no event gets none: the next could be one, too."""
    log = Log(
        event="invalid_message",
        level="warning",
        component="history",
        topic=record.topic,
        body={"offset": record.offset, "reason": reason},
    )
    letters = [] if record.topic == DEAD_LETTER.name else [dead_letter_of_record(record, reason)]
    return [Count(name="records_invalid", labels={"topic": record.topic}), log, *letters]
