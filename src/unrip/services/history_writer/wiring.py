"""history-writer, wired."""

from __future__ import annotations

from unrip.service.wiring import Context, Wiring
from unrip.services.history_writer.effects import LoadPositions, StartReading, WriteBatch
from unrip.services.history_writer.handlers import Archive
from unrip.services.history_writer.logic import HistoryWriter
from unrip.store.history import PostgresHistory


def wire(context: Context) -> Wiring:
    """Every topic in, rows out."""
    history = PostgresHistory(context.settings.postgres_url())
    archive = Archive(history, context.settings.kafka.bootstrap, emit=context.emit)
    return Wiring(
        logic=HistoryWriter(lag_max=context.settings.limits.history_lag_max),
        handlers={LoadPositions: archive.load, StartReading: archive.start_reading, WriteBatch: archive.write},
        sources=(archive.watch,),
        closers=(archive.aclose, history.close),
        uses_database=True,
        single_active_role="history-writer",
    )
