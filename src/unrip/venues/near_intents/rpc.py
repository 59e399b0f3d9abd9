"""NEAR JSON-RPC, as far as the verifier needs it.

Errors of this client:

* RpcError
  x RpcUnavailable   no usable answer; the same question may be asked again
    + BlockUnknown   the node has no block there: it keeps none, the height was skipped, or the block is too new
  x RpcRefused       the node understood and says that the question is wrong: ours to fix
  x RpcContradicted  two nodes give different answers about one block; neither is believed
  x ContractPanic    the contract itself said no, at the block that was asked about
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from unrip.domain.values import Value
from unrip.net.exact import NotExact, decode, integer, mapping, text
from unrip.net.http import HttpClient, HttpError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT_SHOWN_MAX = 500
#: Causes that asking again does not change (verifier-contract section 2); every other cause may pass.
_WRONG_QUESTIONS = frozenset(
    {"UNKNOWN_ACCOUNT", "INVALID_ACCOUNT", "NO_CONTRACT_CODE", "PARSE_ERROR", "METHOD_NOT_FOUND"}
)

#: The names under which nodes report that they have no block: never had, not yet, no longer.
_NO_BLOCK = frozenset({"UNKNOWN_BLOCK", "GARBAGE_COLLECTED_BLOCK"})


class RpcError(Exception):
    """A question to the chain has no answer."""


class RpcUnavailable(RpcError):  # noqa: N818 - an outcome; the base class says that it is an error
    """The node could not be asked, or could not answer; the chain's state is unknown."""


class BlockUnknown(RpcUnavailable):
    """The node has no such block: no longer, not yet, or because the chain skipped the height."""


class RpcRefused(RpcError):  # noqa: N818 - an outcome; the base class says that it is an error
    """The node reports that the question is wrong: account, contract or parameters."""


class RpcContradicted(RpcError):  # noqa: N818 - an outcome; the base class says that it is an error
    """Two nodes give different answers about the same final block; the chain's state is unknown."""


class ContractPanic(RpcError):  # noqa: N818 - the contract's own word for it
    """The contract refused; `text` holds its message inside the node's wrapping."""

    def __init__(self, text: str) -> None:
        super().__init__(f"the contract refused: {text[:_TEXT_SHOWN_MAX]}")
        self.text = text


class Block(Value):
    """A block that can no longer be reverted."""

    height: int
    time: datetime
    hash: str
    #: The hash of the block before, whose height may be lower by more than one.
    previous_hash: str


class NearRpc:
    """Ask one node. Its `name` is shown where its URL, which may hold a key, is not."""

    def __init__(self, client: HttpClient, url: str, *, name: str = "") -> None:
        self._client = client
        self._url = url
        self.name = name

    async def final_block(self) -> Block:
        """The newest final block.

        Raises:
            RpcUnavailable, RpcRefused: see the module.

        """
        return await self._block({"finality": "final"})

    async def block_at(self, height: int) -> Block:
        """The block of a height that is final already.

        Raises:
            RpcUnavailable, RpcRefused: see the module.

        """
        return await self._block({"block_id": height})

    async def _block(self, which: dict[str, Any]) -> Block:
        result = await self._call("block", which)
        try:
            header = mapping(mapping(result, "the block").get("header"), "the block's header")
            nanoseconds = int(text(header.get("timestamp_nanosec"), "timestamp_nanosec"))
            return Block(
                height=_height(header.get("height")),
                time=_EPOCH + timedelta(microseconds=nanoseconds // 1_000),
                hash=text(header.get("hash"), "hash"),
                previous_hash=text(header.get("prev_hash"), "prev_hash"),
            )
        except (ValueError, OverflowError) as error:
            raise RpcUnavailable(f"the block is not readable: {error}") from None

    async def view(self, contract: str, method: str, arguments: dict[str, Any], *, height: int) -> Any:
        """The JSON that a view method returned at a block.

        Raises:
            ContractPanic: the method refused or does not exist.
            RpcUnavailable: also for an answer of another block than the one asked about.
            RpcRefused: see the module.

        """
        query = {
            "request_type": "call_function",
            "block_id": height,
            "account_id": contract,
            "method_name": method,
            "args_base64": base64.b64encode(json.dumps(arguments, separators=(",", ":")).encode()).decode(),
        }
        result = await self._call("query", query)
        if isinstance(result, dict) and isinstance(result.get("error"), str):
            # By the node's compatibility rule a panic arrives inside the result, with HTTP 200.
            raise ContractPanic(result["error"][:_TEXT_SHOWN_MAX])
        try:
            answer = mapping(result, "the answer")
            answered_height = integer(answer.get("block_height"))
            returned = decode(_bytes(answer.get("result")))
        except ValueError as error:
            raise RpcUnavailable(f"{method}: the answer is not readable: {error}") from None
        if answered_height != height:
            raise RpcUnavailable(f"{method}: the node answered for block {answered_height} instead of {height}")
        return returned

    async def transaction(self, tx_hash: str, *, sender: str) -> dict[str, Any]:
        """The outcome of a transaction once it is final. Nodes that track all shards take any account as sender.

        Raises:
            RpcUnavailable: also while the transaction is unknown or not final.
            RpcRefused: see the module.

        """
        query = {"tx_hash": tx_hash, "sender_account_id": sender, "wait_until": "FINAL"}
        result = await self._call("EXPERIMENTAL_tx_status", query)
        try:
            transaction = mapping(result, "the transaction")
            status = text(transaction.get("final_execution_status"), "final_execution_status")
        except NotExact as error:
            raise RpcUnavailable(str(error)) from None
        # A node may answer before it is what was waited for; until then the transaction may still be undone.
        if status != "FINAL":
            raise RpcUnavailable(f"the transaction is not final yet: {status[:_TEXT_SHOWN_MAX]}")
        return transaction

    async def transactions_in(self, height: int, *, receiver: str) -> list[tuple[str, str]]:
        """The transactions to a contract that a block holds, each with its signer; they are executed in a later one.

        Raises:
            RpcUnavailable, RpcRefused: see the module.

        """
        found: list[tuple[str, str]] = []
        try:
            block = mapping(await self._call("block", {"block_id": height}), "the block")
            for chunk in _list(block.get("chunks"), "chunks"):
                chunk_hash = text(mapping(chunk, "a chunk").get("chunk_hash"), "chunk_hash")
                held = mapping(await self._call("chunk", {"chunk_id": chunk_hash}), "the chunk")
                for each in _list(held.get("transactions"), "transactions"):
                    transaction = mapping(each, "a transaction")
                    if transaction.get("receiver_id") == receiver:
                        signer = text(transaction.get("signer_id"), "signer_id")
                        found.append((text(transaction.get("hash"), "hash"), signer))
        except NotExact as error:
            raise RpcUnavailable(f"the block's transactions are not readable: {error}") from None
        return found

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        request = {"jsonrpc": "2.0", "id": "unrip", "method": method, "params": params}
        try:
            reply = await self._client.post(self._url, request)
        except HttpError as error:
            # Some providers send the JSON-RPC error with an HTTP status of its own.
            if isinstance(error.body, dict) and isinstance(error.body.get("error"), dict):
                raise _error_of(error.body["error"]) from None
            raise RpcUnavailable(str(error)) from None
        if not isinstance(reply, dict):
            raise RpcUnavailable("the reply is not an object")
        if reply.get("error") is not None:
            raise _error_of(reply["error"])
        return reply.get("result")


def _height(value: object) -> int:
    """A block's height; one that does not fit the ledger's column could be published but never be recorded."""
    height = integer(value)
    if 0 <= height < 2**63:
        return height
    raise NotExact("the height is out of range")


def _list(value: object, what: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise NotExact(f"{what} is not a list")


def _bytes(value: object) -> bytes:
    """The bytes that the node wrote as a list of numbers."""
    # `bytes` of a number would be that many zeros.
    if not isinstance(value, list):
        raise NotExact("the result is not a list")
    try:
        return bytes(value)
    except (ValueError, TypeError, OverflowError):
        raise NotExact("the result is not a list of bytes") from None


def _error_of(error: object) -> RpcError:
    """The exception for a top-level error; its `code` and `message` are the legacy form."""
    if not isinstance(error, dict):
        return RpcUnavailable("the node reports an error without a name")
    cause = _object(error, "cause")
    kind, name, info = _text(error, "name"), _text(cause, "name"), _object(cause, "info")
    if name == "CONTRACT_EXECUTION_ERROR":
        return ContractPanic(_text(info, "vm_error") or _text(info, "error_message"))
    said = f"{kind}: {name}"
    if name in _NO_BLOCK:
        return BlockUnknown(said)
    if kind == "REQUEST_VALIDATION_ERROR" or name in _WRONG_QUESTIONS:
        return RpcRefused(said)
    return RpcUnavailable(said)


def _object(document: dict[str, Any], field: str) -> dict[str, Any]:
    value = document.get(field)
    return value if isinstance(value, dict) else {}


def _text(document: dict[str, Any], field: str) -> str:
    """A text of an error, cut; anything but a text gives an empty one."""
    value = document.get(field)
    return value[:_TEXT_SHOWN_MAX] if isinstance(value, str) else ""
