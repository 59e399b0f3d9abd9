"""A broker that answers who is there with nobody, as one that is stopping may do; then it names another.

It speaks only what a client asks first: which requests it knows (ApiVersions), and who is there (Metadata).
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer

_METADATA, _API_VERSIONS = 3, 18
#: Request to the newest form that it says it knows. A client wants the others, too, before it asks anything.
_VERSIONS = {0: 7, 1: 11, 2: 5, _METADATA: 4, 10: 2, _API_VERSIONS: 0, 22: 1}
_UNSUPPORTED_VERSION = 35


class StoppingBroker:
    """What it says to everybody who asks."""

    def __init__(self) -> None:
        #: The broker that it names, `HOST:PORT`; None for nobody.
        self.named: str | None = None
        self.named_nobody = 0

    def answer(self, key: int, version: int) -> bytes:
        """The body of an answer."""
        return self._metadata() if key == _METADATA else _versions(version)

    def _metadata(self) -> bytes:
        brokers = b""
        if self.named is None:
            self.named_nobody += 1
        else:
            host, _, port = self.named.partition(":")
            brokers = struct.pack(">i", 1) + _string(host) + struct.pack(">ih", int(port), -1)
        count = struct.pack(">i", 0 if self.named is None else 1)
        # A client takes an answer without brokers and without topics for that of a broker that is only starting.
        topics = struct.pack(">ih", 1, 0) + _string("some.topic") + struct.pack(">?i", False, 0)
        return struct.pack(">i", 0) + count + brokers + _string("cluster") + struct.pack(">i", 1) + topics


def _versions(version: int) -> bytes:
    known = b"".join(struct.pack(">hhh", key, 0, newest) for key, newest in _VERSIONS.items())
    return struct.pack(">hi", _UNSUPPORTED_VERSION if version else 0, len(_VERSIONS)) + known


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


@contextmanager
def stopping_broker() -> Iterator[tuple[StoppingBroker, str]]:
    """The broker and its address."""
    broker = StoppingBroker()

    class Connection(StreamRequestHandler):
        def handle(self) -> None:
            while header := self.rfile.read(4):
                request = self.rfile.read(int.from_bytes(header))
                key, version, correlation = struct.unpack(">hhi", request[:8])
                body = broker.answer(key, version)
                self.wfile.write(struct.pack(">ii", 4 + len(body), correlation) + body)

    class Server(ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Connection) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        yield broker, f"{host!s}:{port}"
        server.shutdown()
