"""The configuration of this desk: what all services share, their ports, and the sections of their own."""

from __future__ import annotations

from pathlib import Path

from unrip.frame.definition import settings_for
from unrip.frame.settings import Settings, read_settings
from unrip.services.registry import SERVICES

DESK_SETTINGS: type[Settings] = settings_for(SERVICES.values())


def load_settings(path: Path | None) -> Settings:
    """Read the file (if one is given) and the environment.

    Raises:
        SettingsError: with the file or variable, the key and what is wrong with it, on one line.

    """
    return read_settings(path, DESK_SETTINGS)
