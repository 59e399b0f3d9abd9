"""What the judges raise."""

from __future__ import annotations


class Violation(Exception):  # noqa: N818 - it states what is the case
    """An invariant does not hold; the text says which, and with what."""
