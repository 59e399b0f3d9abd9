"""The wiring of history-writer."""

from __future__ import annotations

from unrip.frame.wiring import Context, Wiring
from unrip.services.history_writer.effects import LoadOffsets, ReadOn, StartReading, WriteBatch
from unrip.services.history_writer.handlers import HistoryHandlers, TopicReader
from unrip.services.history_writer.logic import HistoryWriter


def wire(context: Context) -> Wiring:
    """Wire it: every topic in, rows out."""
    settings = context.settings
    history = context.opened(context.adapters.history(writer=context.start_id))
    writes = HistoryHandlers(history, emit=context.emit)
    reader = TopicReader(context.adapters.consumer, emit=context.emit)
    return Wiring(
        logic=HistoryWriter(lag_max=settings.limits.policy().history_lag_max),
        handlers={
            LoadOffsets: writes.call,
            WriteBatch: writes.call,
            StartReading: reader.start_reading,
            ReadOn: reader.read_on,
        },
        sources=(writes.run, reader.run),
        troubles=(reader.troubles,),
    )
