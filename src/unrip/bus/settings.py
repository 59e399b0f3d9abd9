"""How librdkafka is set up: every option that matters is written here, because its defaults may change."""

from __future__ import annotations

#: How long an administrative question may take.
REQUEST_TIMEOUT_S = 5.0
#: By what the broker's logs and quotas know us.
CLIENT_ID = "unrip"


def client_settings(bootstrap: str, *, client_id: str = CLIENT_ID) -> dict[str, str | int | float | bool]:
    """What producer, consumer and admin client have in common."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        # With one address family alone librdkafka's resolver refuses even a numeric address where the machine has no
        # address of that family but loopback: without a network, no broker on 127.0.0.1.
        "broker.address.family": "any",
        "socket.nagle.disable": True,
        # A broker that holds the connection but answers nothing counts as gone after this.
        "socket.timeout.ms": 10_000,
        "socket.connection.setup.timeout.ms": 5_000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        # Where none of the brokers that it knows answers, it goes back to the addresses above; by default after five
        # minutes.
        "metadata.recovery.rebootstrap.trigger.ms": 2_000,
        # Errors reach us through callbacks and the watch; the library's own lines on stderr are not structured logs.
        "log_level": 2,
    }


def producer_settings(
    bootstrap: str, *, delivery_timeout_ms: int, client_id: str = CLIENT_ID
) -> dict[str, str | int | float | bool]:
    """Idempotent, in order, acknowledged by all replicas, and bounded in time and memory."""
    return client_settings(bootstrap, client_id=client_id) | {
        "enable.idempotence": True,
        "acks": "all",
        # Each record leaves at once: a quote waits for nobody.
        "linger.ms": 0,
        "delivery.timeout.ms": delivery_timeout_ms,
        "retry.backoff.ms": 50,
        "queue.buffering.max.messages": 20_000,
        "queue.buffering.max.kbytes": 65_536,
    }


def consumer_settings(bootstrap: str, *, client_id: str = CLIENT_ID) -> dict[str, str | int | float | bool]:
    """Manual assignment: no group is joined, no offset is committed, no position is guessed."""
    return client_settings(bootstrap, client_id=client_id) | {
        # The client insists on a name; without a subscription no group of it ever exists.
        "group.id": f"{client_id}-without-group",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # An offset that is not there is an error with a name, never a silent jump.
        "auto.offset.reset": "error",
        # The broker answers as soon as one byte is there; this is only how long it holds an empty request.
        "fetch.wait.max.ms": 100,
        "fetch.min.bytes": 1,
        "fetch.error.backoff.ms": 50,
        # Bounds what is read but unhandled in this process.
        "queued.max.messages.kbytes": 16_384,
    }
