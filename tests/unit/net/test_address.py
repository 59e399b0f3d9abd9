"""Hosts and ports of either family, and what is no URL that can be asked."""

import re
import socket

import pytest

from unrip.net.address import (
    authority,
    authority_of_listener,
    checked_bootstrap,
    checked_pattern,
    filled,
    is_loopback,
    listen,
    url_fault,
)

HTTP = ("http", "https")


@pytest.mark.parametrize(
    ("host", "written"),
    [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("fe80::1%eth0", "[fe80::1%eth0]:80"), ("desk", "desk:80")],
)
def test_an_ipv6_address_has_brackets(host: str, written: str) -> None:
    assert authority(host, 80) == written


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1"), ("10.1.2.3", "10.1.2.3:1")])
def test_who_listens_everywhere_is_asked_on_loopback(host: str, asked: str) -> None:
    assert authority_of_listener(host, 1) == asked


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "0:0:0:0:0:0:0:1", "localhost"])
def test_what_stays_on_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", [None, "", "10.0.0.1", "::2", "localhost.example", "127.0.0.1.example", "0.0.0.0"])
def test_what_may_leave_this_machine(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "families"), [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])]
)
def test_it_listens_on_either_family_and_at_all_on_both(host: str, families: list[str]) -> None:
    with listen(host, 0) as listener:
        for reached in families:
            socket.create_connection((reached, listener.getsockname()[1]), timeout=5).close()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://[::1]:8080/rpc", None),
        ("http://127.0.0.1", None),
        ("https://rpc.example:443/x?y=z", None),
        ("https://", "no host"),
        ("rpc.example", "does not begin with http:// or https://"),
        ("ws://rpc.example", "does not begin with http:// or https://"),
        ("https://rpc.example:99999", "ort"),
        ("https://rpc.example:x", "ort"),
        ("https://[::1", "IPv6"),
        ("https://rpc. example", "blank"),
    ],
)
def test_what_is_no_url(url: str, fault: str | None) -> None:
    told = url_fault(url, HTTP)
    assert (told is None) if fault is None else (told is not None and fault in told)


@pytest.mark.parametrize("text", ["127.0.0.1:9092", "[::1]:9092", "a:1,b:2, [fe80::1]:3"])
def test_addresses_of_kafka(text: str) -> None:
    assert checked_bootstrap(text) == text


@pytest.mark.parametrize("text", ["", "127.0.0.1", "::1:9092", "a:1,", "a:x", "a:1,b"])
def test_no_addresses_of_kafka(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no HOST:PORT; an IPv6 address is written \[::1\]:9092"):
        checked_bootstrap(text)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("http://{service}:{port}", "http://trade-executor:8107"),
        ("http://{service}.desk.svc:80", "http://trade-executor.desk.svc:80"),
        ("http://[::1]:{port}", "http://[::1]:8107"),
        ("http://gateway/{service}/{port}", "http://gateway/trade-executor/8107"),
    ],
)
def test_a_pattern_gives_each_service_its_url(pattern: str, url: str) -> None:
    assert filled(checked_pattern(pattern), "trade-executor", 8107) == url


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("", "neither {service} nor {port}"),
        ("http://127.0.0.1:8107", "neither {service} nor {port}"),
        ("http://{service", "neither {service} nor {port}"),
        ("http://{service}:{ports}", "only {service} and {port}"),
        ("http://{service.name}:{port}", "only {service} and {port}"),
        ("http://{{service}}:{port}", "only {service} and {port}"),
        ("{service}:{port}", "does not begin with http://"),
        ("https://{service}:{port}", "does not begin with http://"),
        ("http://:{port}", "no host"),
        ("http://{service}:9{port}99999", "ort"),
        ("http://{port}:{service}", "ort"),
        ("http://[{service}:{port}", "IPv6"),
        ("http://{service} :{port}", "blank"),
        ("http://user:SECRET@{service}:{port}", "holds @"),
        ("http://{service}:{port}?x", "holds @"),
        ("http://{service}:{port}#x", "holds @"),
        ("http://{service}:{port}/", "ends with /"),
        ("http://{service}.bücher:{port}", "not ASCII"),
    ],
)
def test_what_is_no_pattern(pattern: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)) as refused:
        checked_pattern(pattern)
    assert "SECRET" not in str(refused.value)
