"""Values as plain JSON structures, the way `GET /state` and the CLI show them."""

from __future__ import annotations

from typing import Any

import msgspec

from unrip.messages.envelope import encode


def jsonable(value: Any) -> Any:
    """Structs become objects, sequences arrays, amounts and decimals strings, instants RFC 3339 texts."""
    return msgspec.json.decode(encode(value))
