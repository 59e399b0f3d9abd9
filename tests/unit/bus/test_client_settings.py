"""All clients reach a broker on loopback, on a machine without network too, and the gate asks as they do."""

import subprocess
import sys

import pytest

from support.offline import offline
from unrip.bus.settings import client_settings, consumer_settings, producer_settings

#: Listens where `host` says and asks it for brokers; whoever connects has found the address.
_ASKS = """
import socket, sys, threading
from confluent_kafka.admin import AdminClient
from unrip.bus.settings import client_settings
from unrip.local.kafka import serves_metadata
host, family = sys.argv[1], socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.create_server((host, 0), family=family)
listener.settimeout(5)
port = listener.getsockname()[1]
bootstrap = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
if sys.argv[2] == "gate":
    threading.Thread(target=serves_metadata, args=(bootstrap,), daemon=True).start()
else:
    client = AdminClient(client_settings(bootstrap))
    threading.Thread(target=client.list_topics, kwargs={"timeout": 3}, daemon=True).start()
listener.accept()[0].close()
print("reached")
"""


@pytest.mark.parametrize("who", ["client", "gate"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_broker_on_loopback_is_reached_without_network(host: str, who: str) -> None:
    words, reason = offline()
    if not words:
        pytest.skip(reason)
    done = subprocess.run(
        [*words, sys.executable, "-c", _ASKS, host, who],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PYTHONPATH": "src"},
    )
    assert done.stdout == "reached\n", done.stderr


def test_every_client_resolves_addresses_alike() -> None:
    bootstrap = "127.0.0.1:1"
    for settings in (consumer_settings(bootstrap), producer_settings(bootstrap, delivery_timeout_ms=1_000)):
        assert client_settings(bootstrap).items() <= settings.items()
