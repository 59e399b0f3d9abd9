"""Schema, first start and topics: what servers must hold before services start. Each question is asked again."""

from unrip.bus.desk_bus import DeskBus
from unrip.bus.ports import BusUnavailable, TopicReport
from unrip.local.asking import START_WITHIN_S, ask_again
from unrip.messages.topics import TOPICS
from unrip.store.connection import Database
from unrip.store.errors import StoreUnavailable
from unrip.store.first_start import declare_first_start
from unrip.store.migrate import apply


async def prepare_database(url: str, desk: str, *, within_s: float = START_WITHIN_S) -> list[str]:
    """Apply the migrations that are missing; return their ids. Raises StoreError."""
    return await ask_again(lambda: apply(url, desk), away=StoreUnavailable, within_s=within_s)


async def declare_first_account(database: Database, account: str, *, within_s: float = START_WITHIN_S) -> bool:
    """Declare that an account's ledger is a new one; False where there is one already. Raises StoreError."""
    return await ask_again(lambda: declare_first_start(database, account), away=StoreUnavailable, within_s=within_s)


async def prepare_topics(bus: DeskBus, replication_factor: int, *, within_s: float = START_WITHIN_S) -> TopicReport:
    """Create the topics that are missing; return which, and which have other settings. Raises BusError."""
    return await ask_again(
        lambda: bus.ensure_topics(TOPICS.values(), replication_factor=replication_factor),
        away=BusUnavailable,
        within_s=within_s,
    )
