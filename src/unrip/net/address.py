"""Hosts and ports, as URLs write them and as sockets take them, of either address family."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

#: The addresses at which a server listens everywhere; it is asked on loopback.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def authority(host: str, port: int) -> str:
    """Host and port as a URL writes them: an IPv6 address has brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def authority_of_listener(host: str, port: int) -> str:
    """The address at which others on this machine reach a server that listens at this one."""
    return authority(_EVERYWHERE.get(host, host), port)


def is_loopback(host: str | None) -> bool:
    """Whether what is sent there stays on this machine."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Listen at a name or an address of either family; at `::` for both. Raises OSError."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    both = family is socket.AF_INET6 and host in _EVERYWHERE and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, dualstack_ipv6=both)


def url_fault(url: str, schemes: tuple[str, ...]) -> str | None:
    """Why a URL cannot be asked; None where nothing is known to be wrong."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in schemes:
        return f"it does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if not host:
        return "it names no host"
    if not url.isprintable() or " " in url:
        return "it holds a blank, or a character that cannot be printed"
    return None


def checked_url(*schemes: str) -> Callable[[str], str]:
    """Check a setting: return the URL as it is, or raise ValueError with what is wrong."""

    def check(url: str) -> str:
        if (fault := url_fault(url, schemes)) is not None:
            raise ValueError(f"no URL that can be used, {fault}")
        return url

    return check


def filled(pattern: str, service: str, port: int) -> str:
    """The URL that a pattern such as `http://{service}:{port}` gives for one service."""
    return pattern.replace("{service}", service).replace("{port}", str(port))


def checked_pattern(pattern: str) -> str:
    """Return the pattern as it is; raise ValueError unless it gives each service a URL that can be asked."""
    if (fault := _pattern_fault(pattern)) is not None:
        raise ValueError(f"no pattern of URLs such as http://{{service}}:{{port}}, {fault}")
    return pattern


def _pattern_fault(pattern: str) -> str | None:
    url = filled(pattern, "service", 1)
    if url == pattern:
        return "it holds neither {service} nor {port}, so every service would be asked at one place"
    if "{" in url or "}" in url:
        return "only {service} and {port} can be filled in"
    if not url.isascii() or any(mark in url for mark in "@?#") or url.endswith("/"):
        return "it holds @, ?, # or a letter that is not ASCII, or it ends with /"
    return url_fault(url, ("http",))  # a control surface speaks plain HTTP


def checked_bootstrap(text: str) -> str:
    """Return Kafka's addresses as they are; raise ValueError unless they are HOST:PORT, several separated by commas."""
    for part in text.split(","):
        fault = url_fault(f"kafka://{part.strip()}", ("kafka",))
        if fault is not None or urlsplit(f"kafka://{part.strip()}").port is None:
            raise ValueError(f"{part.strip()!r} is no HOST:PORT; an IPv6 address is written [::1]:9092")
    return text
