"""Fields of JSON objects as the contract reads them: each known one at most once, and of its type.

Every function raises ValueError or TypeError; unknown fields are ignored, as the contract ignores them.
"""

import re
from typing import Any

from unrip_world.codec import RepeatingObject
from unrip_world.verifier.keys import is_account_id

_SIGNED = re.compile(r"[+-]?\d+", re.ASCII)
_UNSIGNED = re.compile(r"\+?\d+", re.ASCII)
_SALT = re.compile(r"[\da-fA-F]{8}", re.ASCII)
I128 = range(-(2**127), 2**127)
U128 = range(2**128)
U64 = range(2**64)
U32 = range(2**32)


def object_of(value: object, name: str) -> dict[str, Any]:
    """Require an object."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return value


def field_of(holder: object, field: str) -> Any:
    """Give a field's value, None where it is absent or null."""
    if not isinstance(holder, dict):
        raise TypeError(f"field `{field}` is missing, for there is no object")
    if isinstance(holder, RepeatingObject) and field in holder.repeated:
        raise ValueError(f"duplicate field `{field}`")
    return holder.get(field)


def text_of(holder: object, field: str) -> str:
    """Give a text that must be there."""
    value = field_of(holder, field)
    if not isinstance(value, str):
        raise TypeError(f"field `{field}` is missing or not a string")
    return value


def optional_text_of(holder: object, field: str) -> str | None:
    """Give a text that may be absent or null."""
    return None if field_of(holder, field) is None else text_of(holder, field)


def account_of(holder: object, field: str) -> str:
    """Give an account id that must be there."""
    value = text_of(holder, field)
    if not is_account_id(value):
        raise ValueError(f"invalid account id '{value}'")
    return value


def optional_account_of(holder: object, field: str) -> str | None:
    """Give an account id that may be absent or null."""
    return None if field_of(holder, field) is None else account_of(holder, field)


def texts_of(holder: object, field: str) -> list[str]:
    """Give a list of texts that must be there."""
    value = field_of(holder, field)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"field `{field}` is not a list of strings")
    return value


def integer_of(holder: object, field: str, bounds: range) -> int:
    """Give an integer that must be there, as decimal text."""
    return integer_in(field_of(holder, field), bounds)


def optional_integer_of(holder: object, field: str, bounds: range) -> int | None:
    """Give an integer that may be absent or null, as decimal text."""
    return None if field_of(holder, field) is None else integer_of(holder, field, bounds)


def integer_in(text: object, bounds: range) -> int:
    """Read decimal text as Rust does: a sign `+` and leading zeros are taken, `-0` only where negatives exist."""
    form = _SIGNED if bounds.start < 0 else _UNSIGNED
    if not isinstance(text, str) or form.fullmatch(text) is None:
        raise TypeError(f"invalid amount {text!r}: a decimal string of an integer is expected")
    value = int(text)
    if value not in bounds:
        raise ValueError("number too large to fit in target type")
    return value


def salt_in(text: object) -> bytes:
    """Read a salt: eight hex digits and nothing beside them."""
    if not isinstance(text, str) or _SALT.fullmatch(text) is None:
        raise ValueError(f"salt {text!r} is not 4 bytes in hex")
    return bytes.fromhex(text)
