"""A raw WebSocket to the relay, as a solver of another author would hold it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from websockets.sync.client import ClientConnection, connect

_TIMEOUT_S = 10.0


class RelaySocket:
    """Sends requests with numeric ids from 0 on and keeps events apart from replies."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = count()
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, *params: Any) -> dict[str, Any]:
        """Send a request and give its reply."""
        request_id = self.send(method, *params)
        while True:
            frame = self.receive()
            if "id" in frame:
                assert frame["id"] == request_id
                return frame
            self.events.append(frame)

    def send(self, method: str, *params: Any) -> int:
        """Send a request and do not wait."""
        request_id = next(self._ids)
        self._socket.send(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}))
        return request_id

    def receive(self, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
        """Give the next frame; raises TimeoutError."""
        return dict(json.loads(self._socket.recv(timeout=timeout_s)))

    def event(self, wanted: str, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
        """Give the `params` of the next event whose data has this field; raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            for frame in self.events:
                if wanted in frame["params"].get("data", frame["params"]):
                    self.events.remove(frame)
                    return dict(frame["params"])
            self.events.append(self.receive(max(0.0, deadline - time.monotonic())))

    def raw(self, text: str) -> None:
        """Send bytes as they are."""
        self._socket.send(text)


@contextmanager
def relay_socket(url: str, *, token: str | None = None) -> Iterator[RelaySocket]:
    """Connect; raises InvalidStatus where the handshake is refused."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with connect(url, additional_headers=headers, compression=None, open_timeout=_TIMEOUT_S, close_timeout=2) as socket:
        yield RelaySocket(socket)
