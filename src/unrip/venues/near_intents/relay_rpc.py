"""The relay's JSON-RPC over HTTP, as far as a solver needs it: publish an intent of ours, ask what became of it.

protocol/message-bus section 12. Errors of this client:

* RelayRpcError
  x RelayRpcUnavailable   no usable answer; what the relay did is unknown
  x RelayRpcRefused       a definite no to the request itself: token, method or parameters
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from unrip.domain.values import Value
from unrip.net.exact import NotExact, mapping
from unrip.net.http import HttpClient, HttpError, HttpRefused
from unrip.net.secret_file import SecretFileError, read_secret

_TEXT_SHOWN_MAX = 200
#: The relay already has this very intent (section 12.2: it counts as success).
_KNOWN = "already processed"


class RelayRpcError(Exception):
    """The relay's RPC could not be used."""


class RelayRpcUnavailable(RelayRpcError):  # noqa: N818 - an outcome; the base class says that it is an error
    """The relay did not answer usably."""


class RelayRpcRefused(RelayRpcError):  # noqa: N818 - an outcome; the base class says that it is an error
    """The relay will not take the request."""


class Publication(Value):
    """How the relay replied to an intent: taken, or refused for a reason. Neither proves anything about the chain."""

    taken: bool
    reason: str


class IntentFate(StrEnum):
    """What the relay knows of an intent."""

    ON_ITS_WAY = "on_its_way"
    """Received, or sent to the chain."""
    SETTLED = "settled"
    FAILED = "failed"
    """Failed on the chain for good."""
    UNKNOWN = "unknown"
    """Never received, expired, or failed in a way that may pass (section 12.3)."""


class IntentStatus(Value):
    """What the relay reports about an intent, and the transaction that it names for it."""

    fate: IntentFate
    tx_hash: str | None


_FATES = {
    "PENDING": IntentFate.ON_ITS_WAY,
    "TX_BROADCASTED": IntentFate.ON_ITS_WAY,
    "SETTLED": IntentFate.SETTLED,
    "NOT_FOUND_OR_NOT_VALID": IntentFate.UNKNOWN,
}


class RelayRpc:
    """Talk to one relay. Every method may raise the errors of this module."""

    def __init__(self, client: HttpClient, url: str, *, headers: Callable[[], dict[str, str]]) -> None:
        self._client = client
        self._url = url
        self._headers = headers

    async def publish(self, signed_data: dict[str, Any]) -> Publication:
        """Publish one signed intent of ours that takes no quote. The same one again changes nothing."""
        answer = await self._call("publish_intent", {"quote_hashes": [], "signed_data": signed_data})
        reason = _shown(answer.get("reason"))
        match answer.get("status"):
            case "OK":
                return Publication(taken=True, reason="")
            case "FAILED":
                return Publication(taken=_KNOWN in reason.lower(), reason=reason)
        raise RelayRpcUnavailable("publish_intent: the answer has neither status OK nor FAILED")

    async def status(self, intent_hash: str) -> IntentStatus:
        """What the relay knows of an intent."""
        answer = await self._call("get_status", {"intent_hash": intent_hash})
        fate = _FATES.get(_shown(answer.get("status")))
        if fate is None:
            raise RelayRpcUnavailable("get_status: the answer has no known status")
        if fate is IntentFate.UNKNOWN and answer.get("status_details") == "FAILED":
            fate = IntentFate.FAILED
        data = answer.get("data")
        tx_hash = data.get("hash") if isinstance(data, dict) else None
        return IntentStatus(fate=fate, tx_hash=tx_hash if isinstance(tx_hash, str) and tx_hash else None)

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [parameters]}
        try:
            reply = await self._client.post(self._url, request, headers=self._headers())
        except (HttpRefused, SecretFileError) as error:
            raise RelayRpcRefused(str(error)) from None
        except HttpError as error:
            raise RelayRpcUnavailable(str(error)) from None
        try:
            reply = mapping(reply, "the reply")
            if reply.get("error") is not None:
                raise RelayRpcRefused(f"{method}: {_message(reply['error'])}")
            return mapping(reply.get("result"), "the result")
        except NotExact as error:
            raise RelayRpcUnavailable(f"{method}: {error}") from None


def api_key_headers(token_file: Path | None) -> Callable[[], dict[str, str]]:
    """The token as the RPC takes it, `X-API-Key` (message-bus section 2); none without a token file."""

    def headers() -> dict[str, str]:
        return {} if token_file is None else {"X-API-Key": read_secret(token_file)}

    return headers


def _message(error: object) -> str:
    return _shown(error.get("message")) if isinstance(error, dict) else "an error without a message"


def _shown(value: object) -> str:
    return value[:_TEXT_SHOWN_MAX] if isinstance(value, str) else ""
