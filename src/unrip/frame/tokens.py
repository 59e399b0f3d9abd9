"""Control tokens: a read-only and an operator one, made at first start, readable by their owner only."""

from __future__ import annotations

import hmac
import os
import secrets
from enum import StrEnum
from pathlib import Path

from unrip.frame.settings import SettingsError, read_secret_file


class Access(StrEnum):
    """What a token allows."""

    READ = "read"
    OPERATOR = "operator"


class Tokens:
    """The two tokens of a deployment. Compared in constant time, never logged."""

    def __init__(self, *, read: str, operator: str) -> None:
        self._by_access = {Access.READ: read, Access.OPERATOR: operator}

    def __repr__(self) -> str:
        return "Tokens(***)"

    def access_of(self, presented: str | None) -> Access | None:
        """What the presented token allows, None for none or a wrong one."""
        if presented is None:
            return None
        found = None
        for access, token in self._by_access.items():
            if hmac.compare_digest(token.encode(), presented.encode()):
                found = access
        return found


def load_tokens(*, read_file: Path, operator_file: Path) -> Tokens:
    """Read both token files, making those that are missing.

    Raises:
        SettingsError: a file is readable by others, empty, or cannot be made.

    """
    return Tokens(read=_load(read_file), operator=_load(operator_file))


def _load(path: Path) -> str:
    if not os.path.lexists(path):
        _make(path)
    return read_secret_file(path, "token file")


def _make(path: Path) -> None:
    """Write it whole under another name, then link: two services that start together agree on one token."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    except OSError as error:
        raise SettingsError(f"token file {path} cannot be made: {error.strerror}") from None
