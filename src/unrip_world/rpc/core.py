"""NEAR JSON-RPC: view calls, blocks, transaction outcomes, node status, with the node's error shapes."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from unrip_world.chain.core import Block, Chain, Outcome
from unrip_world.codec import NS_PER_MS, base58_text, base64_raw, decode_json, encode_json, ns_to_rfc3339
from unrip_world.faults import Faults
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.engine import GAS_PREPAID
from unrip_world.verifier.errors import PanicError

_FINALITIES = ("final", "near-final", "optimistic")
#: How far a transaction must be before `tx` answers; the names of each row come true together in this world.
_UNTIL_SEEN = ("NONE", "INCLUDED", "EXECUTED_OPTIMISTIC")
_UNTIL_FINAL = ("INCLUDED_FINAL", "EXECUTED", "FINAL")


#: All accounts of this world live together.
_SHARD = 0


class RpcError(Exception):
    """A top-level error of the node: `name` is the class, `cause` what clients switch on."""

    def __init__(self, name: str, cause: str, info: Mapping[str, Any], message: str) -> None:
        super().__init__(message)
        self.body = {
            "name": name,
            "cause": {"name": cause, "info": dict(info)},
            "code": -32000,
            "message": "Server error",
            "data": message,
        }


class NotYetError(RpcError):
    """The transaction is not as far as it was asked for; a server waits, and tells this in the end."""

    def __init__(self) -> None:
        super().__init__("HANDLER_ERROR", "TIMEOUT_ERROR", {}, "Timeout")


def _invalid(message: str) -> RpcError:
    return RpcError("REQUEST_VALIDATION_ERROR", "PARSE_ERROR", {"error_message": message}, message)


class NearRpc:
    """One node, with the faults of its own name: it may lag behind the chain, and lie about time, height and state."""

    def __init__(
        self, service: str, *, chain: Chain, verifier: Verifier, faults: Faults, structured_view_errors: bool
    ) -> None:
        self._service, self._chain, self._verifier, self._faults = service, chain, verifier, faults
        self._structured = structured_view_errors

    def call(self, method: object, parameters: object) -> dict[str, Any]:
        """Answer a request; raises RpcError."""
        if method == "status":
            return self._status()
        if method in ("tx", "EXPERIMENTAL_tx_status"):
            return self._transaction(parameters)
        if not isinstance(parameters, dict):
            raise _invalid("params must be an object")
        if method == "block":
            return self._block(self._find_block(parameters))
        if method == "chunk":
            return self._chunk(parameters)
        if method == "query":
            return self._query(parameters)
        raise RpcError("REQUEST_VALIDATION_ERROR", "METHOD_NOT_FOUND", {"method_name": method}, "Method not found")

    def _fault(self, kind: str, parameter: str) -> int:
        fault = self._faults.get(self._service, kind)
        return 0 if fault is None else int(fault[parameter])

    def _seen(self, block: Block) -> Block:
        """Give the block that a lagging node takes for this one."""
        lagging = self._chain.block(block.height - self._fault("lag_blocks", "blocks"))
        return block if lagging is None else lagging

    def _told_ns(self, block: Block) -> int:
        """Give the time that the node reports of a block; the contract sees the true one."""
        return block.timestamp_ns + self._fault("timestamp_skew_ms", "ms") * NS_PER_MS

    def _told_height(self, block: Block) -> int:
        """Give the height that the node reports of a block, and by which it wants to be asked about it."""
        return block.height + self._fault("height_shift", "by")

    @property
    def _head(self) -> Block:
        return self._seen(self._chain.head)

    @property
    def _oldest(self) -> int:
        """The first height that the node still has: real ones drop what is older than some days."""
        fault = self._faults.get(self._service, "keep_blocks")
        return 0 if fault is None else self._head.height - int(fault["blocks"]) + 1

    def _find_block(self, parameters: Mapping[str, Any]) -> Block:
        block_id, finality = parameters.get("block_id"), parameters.get("finality")
        if block_id is None:
            if finality not in _FINALITIES:
                raise _invalid("finality or block_id is required")
            return self._head if finality == "optimistic" else self._seen(self._chain.final)
        if isinstance(block_id, bool) or not isinstance(block_id, (int, str)):
            raise _invalid("block_id is neither a height nor a hash")
        shift = self._fault("height_shift", "by")
        block = self._chain.block(block_id - shift if isinstance(block_id, int) else block_id)
        if block is None or not self._oldest <= block.height <= self._head.height:
            message = f"DB Not Found Error: BLOCK: {block_id}"
            raise RpcError("HANDLER_ERROR", "UNKNOWN_BLOCK", {"block_reference": {"block_id": block_id}}, message)
        return block

    def _block(self, block: Block) -> dict[str, Any]:
        told_ns = self._told_ns(block)
        header = {
            "height": self._told_height(block),
            "hash": block.hash,
            "prev_hash": block.prev_hash,
            "timestamp": told_ns,
            "timestamp_nanosec": str(told_ns),
        }
        chunk = {"chunk_hash": _chunk_hash(block), "shard_id": _SHARD, "height_included": header["height"]}
        return {"author": "validator.world.near", "header": header, "chunks": [chunk]}

    def _chunk(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Give the transactions of a block, as they were signed; what became of them is told by `tx`."""
        block = self._chunks_block(parameters)
        header = {
            "chunk_hash": _chunk_hash(block),
            "shard_id": _SHARD,
            "height_included": self._told_height(block),
            "prev_block_hash": block.prev_hash,
        }
        following = self._chain.block(block.height + 1)
        transactions = [] if following is None else [_signed_transaction(each) for each in following.outcomes]
        return {"author": "validator.world.near", "header": header, "transactions": transactions, "receipts": []}

    def _chunks_block(self, parameters: Mapping[str, Any]) -> Block:
        chunk_id = parameters.get("chunk_id")
        if chunk_id is None:
            if parameters.get("shard_id") != _SHARD:
                raise RpcError("HANDLER_ERROR", "INVALID_SHARD_ID", {"shard_id": parameters.get("shard_id")}, "shard")
            return self._find_block(parameters)
        for block in self._chain.newest_first():
            if self._oldest <= block.height <= self._head.height and _chunk_hash(block) == chunk_id:
                return block
        raise RpcError("HANDLER_ERROR", "UNKNOWN_CHUNK", {"chunk_hash": chunk_id}, f"Chunk {chunk_id} is unknown")

    def _query(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if parameters.get("request_type") != "call_function":
            raise _invalid("this world answers request_type call_function only")
        block = self._find_block(parameters)
        seen = {"block_height": self._told_height(block), "block_hash": block.hash}
        account = parameters.get("account_id")
        if account != self._verifier.contract_id:
            info = {"requested_account_id": account, **seen}
            raise RpcError("HANDLER_ERROR", "UNKNOWN_ACCOUNT", info, f"account {account} does not exist while viewing")
        try:
            value = self._view(parameters, block)
        except PanicError as panic:
            return self._view_error(f"Smart contract panicked: {panic.text}", seen)
        except KeyError:
            return self._view_error("MethodResolveError(MethodNotFound)", seen)
        return {"result": list(encode_json(value).encode()), "logs": [], **seen}

    def _view(self, parameters: Mapping[str, Any], block: Block) -> object:
        try:
            arguments = decode_json(base64_raw(parameters["args_base64"]) or b"{}")
        except (KeyError, TypeError, ValueError) as error:
            raise _invalid(f"args_base64 is not base64 of JSON: {error}") from error
        if not isinstance(arguments, dict):
            raise _invalid("contract arguments must be an object")
        method = str(parameters.get("method_name"))
        false = self._faults.get(self._service, "false_view")
        if false is not None and false["method"] == method:
            return decode_json(false["result"])
        return self._verifier.view(method, arguments, height=block.height, now_ns=block.timestamp_ns)

    def _view_error(self, text: str, seen: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a failed view inside `result`, as nodes do for compatibility, or structured where so configured."""
        text = f"wasm execution failed with error: {text}"
        if self._structured:
            raise RpcError("HANDLER_ERROR", "CONTRACT_EXECUTION_ERROR", {"vm_error": text, **seen}, text)
        return {"error": text, "logs": [], **seen}

    def _status(self) -> dict[str, Any]:
        head = self._head
        sync = {
            "latest_block_hash": head.hash,
            "latest_block_height": self._told_height(head),
            "latest_block_time": ns_to_rfc3339(self._told_ns(head), digits=9),
            "syncing": False,
        }
        version = {"version": "unrip-world", "build": "simulated"}
        return {"chain_id": "mainnet", "sync_info": sync, "version": version, "validators": []}

    def _transaction(self, parameters: object) -> dict[str, Any]:
        wait_until: object = "EXECUTED_OPTIMISTIC"
        match parameters:
            case {"tx_hash": str() as tx_hash, "sender_account_id": str(), **others}:
                wait_until = others.get("wait_until", wait_until)
            case [str() as tx_hash, str(), *_]:
                pass
            case _:
                raise _invalid("tx_hash and sender_account_id are required")
        if wait_until not in _UNTIL_SEEN + _UNTIL_FINAL:
            raise _invalid(f"unknown variant `{wait_until}`, expected one of {', '.join(_UNTIL_SEEN + _UNTIL_FINAL)}")
        outcome = self._chain.outcome(tx_hash)
        if outcome is None or outcome.height > self._head.height:
            info = {"requested_transaction_hash": tx_hash}
            message = f"Transaction {tx_hash} doesn't exist"
            raise RpcError("HANDLER_ERROR", "UNKNOWN_TRANSACTION", info, message)
        final = outcome.height <= self._seen(self._chain.final).height
        hasty = self._faults.get(self._service, "hasty") is not None
        if wait_until in _UNTIL_FINAL and not final and not hasty:
            raise NotYetError
        ran_in = self._chain.block(outcome.height)
        included_in = outcome.block_hash if ran_in is None else ran_in.prev_hash
        return _transaction_body(outcome, included_in=included_in, final=final)


def _transaction_body(outcome: Outcome, *, included_in: str, final: bool) -> dict[str, Any]:
    transaction = outcome.transaction
    status: dict[str, Any] = {"SuccessValue": ""}
    if outcome.error is not None:
        text = f"Smart contract panicked: {outcome.error}"
        kind = {"FunctionCallError": {"ExecutionError": text}}
        status = {"Failure": {"ActionError": {"index": 0, "kind": kind}}}
    receipts = [
        {
            "id": f"{transaction.tx_hash}-{index}",
            "block_hash": outcome.block_hash,
            "proof": [],
            "outcome": {
                "executor_id": receipt.executor_id,
                "logs": list(receipt.logs),
                "receipt_ids": [],
                "gas_burnt": 0,
                "tokens_burnt": "0",
                "status": status,
            },
        }
        for index, receipt in enumerate(outcome.receipts)
    ]
    own: dict[str, Any] = {
        "executor_id": transaction.signer_id,
        "logs": [],
        "receipt_ids": [receipts[0]["id"]],
        "gas_burnt": 0,
        "tokens_burnt": "0",
        "status": {"SuccessReceiptId": receipts[0]["id"]},
    }
    return {
        "final_execution_status": "FINAL" if final else "EXECUTED_OPTIMISTIC",
        "status": status,
        "transaction": _signed_transaction(outcome),
        "transaction_outcome": {
            "id": transaction.tx_hash,
            "block_hash": included_in,
            "proof": [],
            "outcome": own,
        },
        "receipts_outcome": receipts,
        "receipts": [],
    }


def _signed_transaction(outcome: Outcome) -> dict[str, Any]:
    transaction = outcome.transaction
    call = {
        "method_name": transaction.method,
        "args": base64.b64encode(encode_json(transaction.arguments).encode()).decode(),
        "gas": GAS_PREPAID,
        "deposit": "0",
    }
    return {
        "hash": transaction.tx_hash,
        "signer_id": transaction.signer_id,
        "receiver_id": outcome.receipts[0].executor_id,
        "actions": [{"FunctionCall": call}],
    }


def _chunk_hash(block: Block) -> str:
    return base58_text(hashlib.sha256(f"chunk/{block.hash}".encode()).digest())
