"""history-writer, as it describes itself."""

from __future__ import annotations

from unrip.domain.status import HistoryVitals
from unrip.frame.definition import HISTORY, Reads, Service
from unrip.messages.topics import TOPICS
from unrip.services.history_writer.state import HistoryState

SERVICE = Service(
    name="history-writer",
    does="every topic into append-only PostgreSQL",
    port=8105,
    wiring="unrip.services.history_writer.wiring",
    uses=("limits",),
    reads=tuple(Reads(topic=topic, place="its position in PostgreSQL") for topic in TOPICS.values()),
    logs={
        "record_conflict": "a record came again with the same id and another payload; it is kept aside",
        "write_failed": "a batch could not be written; it will be written again",
    },
    stores=(HISTORY,),
    single_active=True,
    state=HistoryState,
    vitals=HistoryVitals,
    trade_ready_depends=True,
)
