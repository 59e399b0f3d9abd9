"""Frames that the relay writes, in the dialect that the settings choose."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unrip_world.codec import encode_json
from unrip_world.effects import Send
from unrip_world.relay.delivery import Subscription


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """Documentation and running code disagree on the envelope, so both forms exist (protocol: message bus, 3.1)."""

    envelope: str
    error_form: str

    def event(
        self,
        connection: int,
        subscription: Subscription,
        data: Mapping[str, Any],
        *,
        metadata: Mapping[str, Any] | None = None,
        seq: int | None = None,
    ) -> Send:
        """Write one event of a subscription."""
        extra: dict[str, Any] = {"metadata": metadata} if metadata else {}
        extra |= {} if seq is None else {"seq": seq}
        if self.envelope == "nested":
            method = "event"
            parameters = {"subscription": subscription.subscription_id, "data": data, **extra}
        else:
            method = "subscribe"
            # The documented flat form names no subscription on status events.
            named = {"subscription": subscription.subscription_id} if subscription.stream == "quote" else {}
            parameters = {**named, **data, **extra}
        return _send(connection, {"jsonrpc": "2.0", "method": method, "params": parameters})

    def reply(self, connection: int, request_id: object, **outcome: object) -> Send:
        """Write the reply to one request: `result`, or `error` as an object or as its text alone."""
        error = outcome.get("error")
        if isinstance(error, dict) and self.error_form == "text":
            outcome["error"] = error["message"]
        return _send(connection, {"jsonrpc": "2.0", "id": request_id, **outcome})


def _send(connection: int, frame: Mapping[str, Any]) -> Send:
    return Send(service="relay", connection=connection, text=encode_json(frame))
