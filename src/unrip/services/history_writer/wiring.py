"""history-writer, wired."""

from __future__ import annotations

from unrip.bus.kafka_consumer import KafkaConsumer
from unrip.bus.ports import Consumer, OnRecords, OnTopicLost
from unrip.service.wiring import Context, Wiring
from unrip.services.history_writer.effects import LoadOffsets, ReadOn, StartReading, WriteBatch
from unrip.services.history_writer.handlers import Archivist, TopicReader
from unrip.services.history_writer.logic import HistoryWriter
from unrip.store.history import PostgresHistory

#: Rows of one transaction.
BATCH_MAX = 500


def wire(context: Context) -> Wiring:
    """Every topic in, rows out."""
    settings = context.settings
    history = PostgresHistory(settings.postgres_url(), writer=context.start_id)

    def make_consumer(on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
        return KafkaConsumer(
            settings.kafka.bootstrap, on_records=on_records, on_topic_lost=on_topic_lost, batch_max=BATCH_MAX
        )

    archivist = Archivist(history, emit=context.emit)
    reader = TopicReader(make_consumer, emit=context.emit)
    return Wiring(
        logic=HistoryWriter(lag_max=settings.limits.history_lag_max),
        handlers={
            LoadOffsets: archivist.call,
            WriteBatch: archivist.call,
            StartReading: reader.start_reading,
            ReadOn: reader.read_on,
        },
        sources=(archivist.run, reader.run),
        closers=(history.close,),
        uses_database=True,
        single_active_role="history-writer",
    )
