"""The database of the desk that the settings describe, for commands: services read its address again and again."""

from __future__ import annotations

from unrip.frame.settings import Settings
from unrip.store.connection import Database


def desk_database(settings: Settings) -> Database:
    """PostgreSQL as this desk sees it.

    Raises:
        SettingsError: the settings name no database, or it cannot be read.

    """
    return Database(settings.postgres_url(), desk=settings.desk.name)
