"""Records to rows; what cannot be decoded becomes a dead letter, and beats are thinned out."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import msgspec

from unrip.bus.ports import Record
from unrip.domain.status import ServiceStatus
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Envelope, InvalidMessage, encode
from unrip.messages.topics import DEAD_LETTER, SERVICE_STATUS
from unrip.service.contract import Count, Effect, Log
from unrip.service.dead_letters import dead_letter_of_record
from unrip.store.history import HistoryRow, Position, TopicBatch
from unrip.store.jsonb import storable

#: An unchanged beat is stored this often (blueprint, section 10).
BEAT_EVERY = timedelta(minutes=1)


class Rows:
    """Turns batches of records into batches of rows; remembers each instance's last stored beat."""

    def __init__(self) -> None:
        self._beats: dict[str, tuple[ServiceStatus, datetime]] = {}

    def of(
        self, records: tuple[Record, ...], positions: dict[str, Position]
    ) -> tuple[tuple[TopicBatch, ...], list[Effect]]:
        """The batches to write, per topic, and what is to be told about records that are no events."""
        batches: list[TopicBatch] = []
        effects: list[Effect] = []
        for topic in dict.fromkeys(record.topic for record in records):
            mine = [record for record in records if record.topic == topic]
            rows: list[HistoryRow] = []
            for record in mine:
                row, told = self._row(record)
                rows += [row] if row is not None else []
                effects += told
            position = positions.get(topic)
            batches.append(
                TopicBatch(
                    topic=topic,
                    topic_id=mine[0].topic_id,
                    expected_offset=position.next_offset if position else None,
                    next_offset=mine[-1].offset + 1,
                    rows=tuple(rows),
                )
            )
        return tuple(batches), effects

    def _row(self, record: Record) -> tuple[HistoryRow | None, list[Effect]]:
        try:
            message = decode_event(record.topic, record.value)
        except InvalidMessage as error:
            return None, _invalid(record, str(error))
        if record.topic == SERVICE_STATUS.name and not self._worth_storing(message):
            return None, []
        return _row_of(record, message), []

    def _worth_storing(self, message: Envelope[ServiceStatus]) -> bool:
        """A beat that changed something other than lag and ledger, or the first for a minute."""
        beat, now = msgspec.structs.replace(message.payload, lag=None, ledger=None), message.published_at
        last = self._beats.get(beat.service)
        if last is not None and last[0] == beat and now - last[1] < BEAT_EVERY:
            return False
        self._beats[beat.service] = (beat, now)
        return True


def _row_of(record: Record, message: Envelope[object]) -> HistoryRow:
    return HistoryRow(
        event_id=message.event_id,
        offset=record.offset,
        correlation_id=message.correlation_id,
        causation_id=message.causation_id,
        observed_at=message.observed_at,
        published_at=message.published_at,
        payload_digest=hashlib.sha256(encode(message.payload)).digest(),
        event=storable(record.value.decode()),
    )


def _invalid(record: Record, reason: str) -> list[Effect]:
    """A dead letter that is itself no event is only counted: a letter about it would never end."""
    told: list[Effect] = [Count(name="records_invalid", labels={"topic": record.topic})]
    if record.topic != DEAD_LETTER.name:
        told.append(dead_letter_of_record(record, reason))
    body = {"offset": record.offset, "reason": reason}
    return [
        *told,
        Log(event="invalid_message", level="warning", component="history", topic=record.topic, body=body),
    ]
