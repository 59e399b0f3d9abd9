"""Errors of the store.

* StoreError
  x StoreUnavailable   PostgreSQL did not do it: it is away, or not as it must be. It may or may not have happened
  x StoreRefused       it answered no to what was asked: data, integrity, or a promise of our own SQL that was broken
"""

# ruff: noqa: N818 - each name states what is the case

from __future__ import annotations

from enum import StrEnum


class Away(StrEnum):
    """What keeps PostgreSQL from doing its work; all of it comes from outside and passes."""

    CONNECTION = "does not answer"
    AUTHORISATION = "does not let us in"
    MISSING = "lacks the database, schema or table"
    LOCKS = "did not do it in time"
    RESOURCES = "is out of resources"
    INTERVENTION = "is being stopped or started"
    IO = "has a fault of its own"
    READ_ONLY = "refuses writes"
    ROLE = "has given our role to another instance"


class StoreError(Exception):
    """PostgreSQL could not be used."""


class StoreUnavailable(StoreError):
    """The outcome is unknown; every write of ours is idempotent and may be made again."""

    def __init__(self, message: str, *, away: Away = Away.CONNECTION) -> None:
        super().__init__(message)
        self.away = away


class StoreRefused(StoreError):
    """PostgreSQL refused; making the same again would not help."""
