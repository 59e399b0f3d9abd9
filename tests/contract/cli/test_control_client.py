"""Where the operator's token goes: to the service that was named, whatever the environment says of proxies.

The settings' pattern says where a service is, not the address that it listens on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from unrip.cli.client import ControlClient
from unrip.frame.settings import ControlSettings
from unrip.local.desk import LocalDesk
from unrip.local.paths import Home
from unrip.local.ports import answers_yes
from unrip.net.secret_file import write_secret
from unrip.services.settings import DESK_SETTINGS

SERVICE = "strategy-engine"


@contextmanager
def listening() -> Iterator[tuple[int, list[tuple[str, str | None]]]]:
    """A server that says yes to everything, and what it was asked: the path as it came, and the token."""
    asked: list[tuple[str, str | None]] = []

    class Yes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object, **__: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Yes) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def test_no_proxy_of_the_environment_hears_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, operator = tmp_path / "read.token", tmp_path / "operator.token"
    write_secret(read, "reads")
    write_secret(operator, "operates")
    with listening() as (proxy_port, overheard), listening() as (port, asked):
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy_port}")
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(variable, raising=False)
        ports: dict[str, Any] = {"ports": {"strategy_engine": port}}
        control = ControlSettings(read_token_file=read, operator_token_file=operator)
        settings = DESK_SETTINGS(control=control, **ports)
        client = ControlClient(settings)
        assert client.is_ready(SERVICE)
        assert client.state(SERVICE) == {}
        assert client.act(SERVICE, "disarm", reason="lunch") == {}
        assert answers_yes(f"http://127.0.0.1:{port}/readyz")
    assert asked == [
        ("/readyz", None),
        ("/state", "Bearer reads"),
        ("/disarm", "Bearer operates"),
        ("/readyz", None),
    ]
    assert overheard == []


def test_who_asks_a_service_asks_where_the_pattern_says(tmp_path: Path) -> None:
    read, operator = tmp_path / "read.token", tmp_path / "operator.token"
    write_secret(read, "reads")
    write_secret(operator, "operates")
    with listening() as (port, asked):
        control = ControlSettings(
            bind_host="2001:db8::1",  # where nobody here could ask
            url_pattern=f"http://127.0.0.1:{port}/{{service}}/{{port}}",
            read_token_file=read,
            operator_token_file=operator,
        )
        settings = DESK_SETTINGS(control=control)
        client = ControlClient(settings)
        assert client.is_ready(SERVICE)
        assert client.state(SERVICE) == {}
        assert client.act(SERVICE, "disarm", reason="lunch") == {}
        desk = LocalDesk(home=Home(tmp_path), user_data=tmp_path, base=None, progress=print)
        assert desk.service_program(SERVICE, settings).ready()
    place = f"/{SERVICE}/{settings.port_of(SERVICE)}"
    assert [path for path, _ in asked] == [f"{place}/{what}" for what in ("readyz", "state", "disarm", "readyz")]
