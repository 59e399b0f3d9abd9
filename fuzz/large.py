"""Frames of any size, filled with what costs a parser most for its length."""

from __future__ import annotations

import random

from fuzz.mutation import replaced

#: Texts of which enough to fill a frame are put in the place of a value: what opens, what repeats, what closes.
FILLERS = {
    "empty lists": ("[", "[],", "null]"),
    "empty objects": ("[", "{},", "null]"),
    "objects": ("[", '{"account_id":"solver.near"},', "null]"),
    "lists in lists": ("", "[", ""),
    "objects in objects": ("", '{"a":', ""),
    "small numbers": ("[", "7,", "null]"),
    "large numbers": ("[", "1" * 4_000 + ",", "null]"),
    "decimals": ("[", "1.5,", "null]"),
    "exponents": ("[", "1e3,", "null]"),
    "one number": ("1", "1", "1"),
    "one decimal": ("0.", "1", "1"),
    "short texts": ("[", '"ab",', "null]"),
    "texts": ("[", '"abcdef",', "null]"),
    "longer texts": ("[", '"abcdefgh",', "null]"),
    "one text": ('"', "a", '"'),
    "one amount": ('"', "9", '"'),
    "one wide text": ('"\N{GRINNING FACE}', "a", '"'),
    "escapes": ('"', "\\ud83d\\ude00", '"'),
    "log lines": ("[", '"EVENT_JSON:{\\"standard\\":\\"dip4\\",\\"event\\":\\"e\\",\\"data\\":[{},{},{}]}",', "null]"),
}


def filled(frame: bytes, filler: str, size: int, chance: random.Random) -> bytes:
    """A frame of about `size` bytes: one of its values has become the filler."""
    opening, unit, closing = FILLERS[filler]
    return replaced(frame, f"{opening}{unit * (size // len(unit) - 1)}{closing}", chance)
