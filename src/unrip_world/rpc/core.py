"""NEAR JSON-RPC: view calls, blocks, transaction outcomes, node status, with the node's error shapes."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from unrip_world.chain.core import Block, Chain, Outcome
from unrip_world.codec import NS_PER_MS, encode_json, ns_to_rfc3339
from unrip_world.faults import Faults
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.errors import PanicError

_FINALITIES = ("final", "near-final", "optimistic")


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


def _invalid(message: str) -> RpcError:
    return RpcError("REQUEST_VALIDATION_ERROR", "PARSE_ERROR", {"error_message": message}, message)


class NearRpc:
    """One node. The fault `lag_blocks` makes it stay behind the chain, `timestamp_skew_ms` misstate its times."""

    def __init__(self, *, chain: Chain, verifier: Verifier, faults: Faults, structured_view_errors: bool) -> None:
        self._chain, self._verifier, self._faults = chain, verifier, faults
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
        if method == "query":
            return self._query(parameters)
        raise RpcError("REQUEST_VALIDATION_ERROR", "METHOD_NOT_FOUND", {"method_name": method}, "Method not found")

    def _lag(self) -> int:
        fault = self._faults.get("rpc", "lag_blocks")
        return 0 if fault is None else int(fault["blocks"])

    def _seen(self, block: Block) -> Block:
        """Give the block that a lagging node takes for this one."""
        lagging = self._chain.block(block.height - self._lag())
        return block if lagging is None else lagging

    def _told_ns(self, block: Block) -> int:
        """Give the time that the node tells of a block; the contract sees the true one."""
        fault = self._faults.get("rpc", "timestamp_skew_ms")
        return block.timestamp_ns + (0 if fault is None else int(fault["ms"]) * NS_PER_MS)

    @property
    def _head(self) -> Block:
        return self._seen(self._chain.head)

    def _find_block(self, parameters: Mapping[str, Any]) -> Block:
        block_id, finality = parameters.get("block_id"), parameters.get("finality")
        if block_id is None:
            if finality not in _FINALITIES:
                raise _invalid("finality or block_id is required")
            return self._head if finality == "optimistic" else self._seen(self._chain.final)
        block = self._chain.block(block_id) if isinstance(block_id, (int, str)) else None
        if block is None or block.height > self._head.height:
            message = f"DB Not Found Error: BLOCK: {block_id}"
            raise RpcError("HANDLER_ERROR", "UNKNOWN_BLOCK", {"block_reference": {"block_id": block_id}}, message)
        return block

    def _block(self, block: Block) -> dict[str, Any]:
        told_ns = self._told_ns(block)
        header = {
            "height": block.height,
            "hash": block.hash,
            "prev_hash": block.prev_hash,
            "timestamp": told_ns,
            "timestamp_nanosec": str(told_ns),
        }
        return {"author": "validator.world.near", "header": header, "chunks": []}

    def _query(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if parameters.get("request_type") != "call_function":
            raise _invalid("this world answers request_type call_function only")
        block = self._find_block(parameters)
        account = parameters.get("account_id")
        if account != self._verifier.contract_id:
            info = {"requested_account_id": account, "block_height": block.height, "block_hash": block.hash}
            raise RpcError("HANDLER_ERROR", "UNKNOWN_ACCOUNT", info, f"account {account} does not exist while viewing")
        seen = {"block_height": block.height, "block_hash": block.hash}
        try:
            value = self._view(parameters, block)
        except PanicError as panic:
            return self._view_error(f"Smart contract panicked: {panic.text}", seen)
        except KeyError:
            return self._view_error("MethodResolveError(MethodNotFound)", seen)
        return {"result": list(encode_json(value).encode()), "logs": [], **seen}

    def _view(self, parameters: Mapping[str, Any], block: Block) -> object:
        try:
            arguments = json.loads(base64.b64decode(parameters["args_base64"], validate=True) or b"{}")
        except (KeyError, TypeError, ValueError) as error:
            raise _invalid(f"args_base64 is not base64 of JSON: {error}") from error
        if not isinstance(arguments, dict):
            raise _invalid("contract arguments must be an object")
        method = str(parameters.get("method_name"))
        return self._verifier.view(method, arguments, height=block.height, now_ns=block.timestamp_ns)

    def _view_error(self, text: str, seen: Mapping[str, Any]) -> dict[str, Any]:
        """Tell a failed view inside `result`, as nodes do for compatibility, or structured where so configured."""
        text = f"wasm execution failed with error: {text}"
        if self._structured:
            raise RpcError("HANDLER_ERROR", "CONTRACT_EXECUTION_ERROR", {"vm_error": text, **seen}, text)
        return {"error": text, "logs": [], **seen}

    def _status(self) -> dict[str, Any]:
        head = self._head
        sync = {
            "latest_block_hash": head.hash,
            "latest_block_height": head.height,
            "latest_block_time": ns_to_rfc3339(self._told_ns(head), digits=9),
            "syncing": False,
        }
        version = {"version": "unrip-world", "build": "simulated"}
        return {"chain_id": "mainnet", "sync_info": sync, "version": version, "validators": []}

    def _transaction(self, parameters: object) -> dict[str, Any]:
        match parameters:
            case {"tx_hash": str() as tx_hash} | [str() as tx_hash, *_]:
                outcome = self._chain.outcome(tx_hash)
            case _:
                raise _invalid("tx_hash and sender_account_id are required")
        if outcome is None or outcome.height > self._head.height:
            info = {"requested_transaction_hash": tx_hash}
            message = f"Transaction {tx_hash} doesn't exist"
            raise RpcError("HANDLER_ERROR", "UNKNOWN_TRANSACTION", info, message)
        final = outcome.height <= self._seen(self._chain.final).height
        return _transaction_body(outcome, final=final)


def _transaction_body(outcome: Outcome, *, final: bool) -> dict[str, Any]:
    transaction = outcome.transaction
    status: dict[str, Any] = {"SuccessValue": ""}
    if outcome.error is not None:
        text = f"Smart contract panicked: {outcome.error}"
        kind = {"FunctionCallError": {"ExecutionError": text}}
        status = {"Failure": {"ActionError": {"index": 0, "kind": kind}}}
    call = {
        "method_name": transaction.method,
        "args": base64.b64encode(encode_json(transaction.arguments).encode()).decode(),
        "gas": 300_000_000_000_000,
        "deposit": "0",
    }
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
    contract = outcome.receipts[0].executor_id
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
        "transaction": {
            "hash": transaction.tx_hash,
            "signer_id": transaction.signer_id,
            "receiver_id": contract,
            "actions": [{"FunctionCall": call}],
        },
        "transaction_outcome": {
            "id": transaction.tx_hash,
            "block_hash": outcome.block_hash,
            "proof": [],
            "outcome": own,
        },
        "receipts_outcome": receipts,
        "receipts": [],
    }
