"""history-writer, wired."""

from __future__ import annotations

from unrip.frame.wiring import Context, Wiring
from unrip.services.history_writer.effects import LoadOffsets, ReadOn, StartReading, WriteBatch
from unrip.services.history_writer.handlers import Archivist, TopicReader
from unrip.services.history_writer.logic import HistoryWriter


def wire(context: Context) -> Wiring:
    """Every topic in, rows out."""
    settings = context.settings
    history = context.adapters.history(writer=context.start_id)
    archivist = Archivist(history, emit=context.emit)
    reader = TopicReader(context.adapters.consumer, emit=context.emit)
    return Wiring(
        logic=HistoryWriter(lag_max=settings.limits.policy().history_lag_max),
        handlers={
            LoadOffsets: archivist.call,
            WriteBatch: archivist.call,
            StartReading: reader.start_reading,
            ReadOn: reader.read_on,
        },
        sources=(archivist.run, reader.run),
        closers=(history.close,),
        troubles=(reader.troubles,),
    )
