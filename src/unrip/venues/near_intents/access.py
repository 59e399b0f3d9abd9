"""How the relay is reached: the bearer token, read again before each attempt, and the name of a notice queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from unrip.net.secret_file import SecretFileError, read_secret


def bearer_headers(token_file: Path | None) -> Callable[[], dict[str, str]]:
    """Headers for the handshake: `Authorization: Bearer …` (message-bus section 2), none without a token file."""

    def headers() -> dict[str, str]:
        return {} if token_file is None else {"Authorization": f"Bearer {read_secret(token_file)}"}

    return headers


def hold_one_token(*token_files: Path | None) -> bool:
    """Whether all these files hold the same token; one that cannot be read here is the other service's own matter."""
    try:
        return len({read_secret(file) for file in token_files if file is not None}) == 1
    except SecretFileError:
        return False


def relay_url(url: str, *, instance_id: str | None) -> str:
    """The socket's URL; with an instance id it names the queue of guaranteed notices (message-bus section 8.1)."""
    if instance_id is None:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'instance_id': instance_id})}"
