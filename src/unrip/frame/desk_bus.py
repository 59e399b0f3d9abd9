"""The bus of the desk that the settings describe."""

from __future__ import annotations

from unrip.bus.desk_bus import DeskBus
from unrip.bus.settings import CLIENT_ID
from unrip.domain.desk_name import MAIN_DESK
from unrip.frame.settings import Settings


def desk_bus(settings: Settings) -> DeskBus:
    """Kafka as this desk sees it."""
    desk = settings.desk.name
    client_id = CLIENT_ID if desk == MAIN_DESK else f"{CLIENT_ID}-{desk}"
    return DeskBus(settings.kafka.bootstrap, topic_prefix=settings.topic_prefix, client_id=client_id)
