"""The relay's bearer token, read again before each attempt to connect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unrip.net.secret_file import read_secret


def bearer_headers(token_file: Path | None) -> Callable[[], dict[str, str]]:
    """Headers for the handshake: `Authorization: Bearer …` (message-bus section 2), none without a token file."""

    def headers() -> dict[str, str]:
        return {} if token_file is None else {"Authorization": f"Bearer {read_secret(token_file)}"}

    return headers
