"""Schema, first start and topics: what servers must hold before services start; each question is asked again."""

from unrip.bus.desk_bus import DeskBus
from unrip.bus.ports import BusUnavailable, TopicReport
from unrip.local.asking import START_WITHIN_S, ask_again
from unrip.messages.topics import TOPICS
from unrip.store.errors import StoreUnavailable
from unrip.store.first_start import declare_first_start
from unrip.store.migrate import apply


async def prepare_database(url: str, *, within_s: float = START_WITHIN_S) -> list[str]:
    """Apply the migrations that are missing; gives their ids. Raises StoreError."""
    return await ask_again(lambda: apply(url), away=StoreUnavailable, within_s=within_s)


async def declare_first_account(url: str, account: str, *, within_s: float = START_WITHIN_S) -> bool:
    """Say that an account's ledger is a new one; False where there is one already. Raises StoreError."""
    return await ask_again(lambda: declare_first_start(url, account), away=StoreUnavailable, within_s=within_s)


async def prepare_topics(bus: DeskBus, replication_factor: int, *, within_s: float = START_WITHIN_S) -> TopicReport:
    """Create the topics that are missing; tells which, and which have other settings. Raises BusError."""
    return await ask_again(
        lambda: bus.ensure_topics(TOPICS.values(), replication_factor=replication_factor),
        away=BusUnavailable,
        within_s=within_s,
    )
