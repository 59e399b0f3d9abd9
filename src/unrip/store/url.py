"""What is wrong with a database URL, without repeating any part of it: any part may be a password.

The drivers read a malformed URL each in its own way, and quote in their errors what they took for port, host or option.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

REMEDY = (
    "write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and in user and password each of : / ? # [ ] @ %,"
    " blanks and what is beyond ASCII as percent escapes, such as %40 for @"
)

_SCHEME = re.compile(r"postgres(?:ql)?://")
_ESCAPE = re.compile(r"%(?!(?!00)[0-9A-Fa-f]{2})")
#: A name, an IPv4 address, a percent-encoded socket folder or an IPv6 address in brackets; and a port.
_HOST = re.compile(r"(?:[^\[\]:]*|\[[^\[\]]+\])(?::(?P<port>\d{0,5}))?", re.ASCII)
_PORT_MAX = 65_535
#: Options that take one of a few values, which the drivers refuse only when they connect.
_WORDS = {
    "sslmode": ("prefer", "disable", "allow", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}


def fault_of(url: str) -> str | None:
    """What is wrong with it; None where nothing is known to be."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "it does not begin with postgresql://"
    place, _, query = url[scheme.end() :].partition("?")
    authority, _, database = place.partition("/")
    user, _, hosts = authority.rpartition("@")
    faults = {
        "it holds a blank, or a character that cannot be printed": " " in url or not url.isprintable(),
        "it holds a #": "#" in url,
        "it holds a % that begins no escape": _ESCAPE.search(url) is not None,
        "it holds an @ in a wrong place": "@" in user + database + query,
        "it holds a [ or ] in a wrong place": bool({"[", "]"} & set(user)),
        "its host or port is none": not all(_is_host(host) for host in hosts.split(",")),
        "what follows its ? is no list of NAME=VALUE": bool(query) and not all("=" in p for p in query.split("&")),
        "it cannot be split into its parts": not _can_be_split(url),
        "its drivers do not know an option in it, or its value": not _can_be_asked(url),
    }
    return next((fault for fault, holds in faults.items() if holds), None)


def place_of(url: str) -> str:
    """Host or hosts, port and database of a URL, for an error text: no user, no password, no option."""
    return url.partition("://")[2].rpartition("@")[2].partition("?")[0]


def _can_be_asked(url: str) -> bool:
    """Whether libpq knows every option, and each value of the options above is one of its own."""
    try:
        told = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError):
        return False
    return all(str(told.get(name, words[0])) in words for name, words in _WORDS.items())


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and int(found["port"] or 0) <= _PORT_MAX


def _can_be_split(url: str) -> bool:
    """Whether Python's own reader takes it, which both drivers begin with."""
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True
