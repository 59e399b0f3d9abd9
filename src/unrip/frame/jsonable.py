"""Values as plain JSON-ready structures, the way `GET /state` and the CLI show them."""

from __future__ import annotations

from typing import Any

import msgspec

from unrip.messages.envelope import encode_hook


def jsonable(value: Any) -> Any:
    """Structs become objects, amounts and decimals strings, instants RFC 3339 texts."""
    return msgspec.to_builtins(value, enc_hook=encode_hook, str_keys=True)
