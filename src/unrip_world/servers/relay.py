"""The message bus: `/ws` for solvers, `/rpc` for askers."""

import hmac
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from unrip_world.relay.rpc import RpcRefusedError
from unrip_world.servers.http import app_with_faults, read_json, rpc_error, rpc_result
from unrip_world.servers.runtime import Runtime

#: How a solver is called in reports where nobody has to say who it is.
ANONYMOUS = "anonymous"
_MAX_FRAME_BYTES = 1 << 20
_PING_EVERY_S = 20
#: Methods whose effect stays when their reply is lost.
_PUBLISHING = ("publish_intent", "publish_intents")


def relay_app(runtime: Runtime) -> web.Application:
    """Make the application."""
    app = app_with_faults(runtime, "relay")
    app.add_routes([web.get("/ws", partial(_socket, runtime)), web.post("/rpc", partial(_rpc, runtime))])
    return app


def _identify(runtime: Runtime, given: str | None) -> str | None:
    """Give the solver's name for a token, or None for a token that nobody has."""
    settings = runtime.world.settings.relay
    tokens = {name: token for name, token in settings.tokens.items() if given is not None}
    for name, token in tokens.items():
        if hmac.compare_digest(token.encode(), str(given).encode()):
            return name
    anonymous = settings.auth == "none" or (settings.auth == "optional" and given is None)
    return ANONYMOUS if anonymous else None


def _bearer(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def _refused(runtime: Runtime, solver: str | None) -> web.Response | None:
    world = runtime.world
    fault = world.faults.get("relay", "refuse_handshake")
    if fault is not None:
        return web.Response(status=fault["status"], text="refused")
    if solver is None:
        return web.Response(status=403, text="missing or unknown token")
    alone = world.settings.relay.one_connection_per_token and solver != ANONYMOUS
    if alone and any(runtime.is_open("relay", connection) for connection in world.relay.connections_of(solver)):
        return web.Response(status=403, text="another connection holds this token")
    return None


async def _socket(runtime: Runtime, request: web.Request) -> web.StreamResponse:
    solver = _identify(runtime, _bearer(request))
    refused = _refused(runtime, solver)
    if refused is not None or solver is None:
        return refused or web.Response(status=403)
    ws = web.WebSocketResponse(heartbeat=_PING_EVERY_S, compress=False, max_msg_size=_MAX_FRAME_BYTES)
    await ws.prepare(request)
    connection = runtime.open_socket("relay", ws)
    relay = runtime.world.relay
    relay.on_open(connection, solver=solver, instance_id=request.query.get("instance_id"))
    try:
        async for message in ws:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                text = message.data if isinstance(message.data, str) else message.data.decode(errors="replace")
                runtime.carry_out(relay.on_frame(connection, text, runtime.now_ns()))
    finally:
        relay.on_close(connection)
        await runtime.close_socket("relay", connection)
    return ws


async def _rpc(runtime: Runtime, request: web.Request) -> web.StreamResponse:
    if _identify(runtime, request.headers.get("X-API-Key") or _bearer(request)) is None:
        return web.Response(status=403, text="missing or unknown token")
    body = await read_json(request)
    parameters = body.get("params")
    first = parameters[0] if isinstance(parameters, list) and parameters else parameters
    if not isinstance(first, dict):
        return rpc_error(body, {"code": -32602, "message": "params must be an array with one object"})
    try:
        result = await _serve(runtime, body.get("method"), first)
        if body["method"] in _PUBLISHING and runtime.world.faults.get("relay", "lose_replies") is not None:
            return web.Response(status=504, text="Gateway Timeout")
        return rpc_result(body, result)
    except RpcRefusedError as refusal:
        return rpc_error(body, {"code": -32602, "message": str(refusal)})


async def _serve(runtime: Runtime, method: object, parameters: Mapping[str, Any]) -> object:
    askers, now_ns = runtime.world.askers, runtime.now_ns()
    match method:
        case "quote":
            with runtime.ticket() as (ticket, reply):
                runtime.carry_out(askers.quote(parameters, ticket=ticket, now_ns=now_ns))
                # The auction always closes, within what an asker may ask for at most.
                return await reply
        case "publish_intents":
            signed = parameters.get("signed_datas")
            return askers.publish(quote_hashes=parameters.get("quote_hashes"), signed=signed, now_ns=now_ns)
        case "publish_intent":
            signed = [parameters.get("signed_data")]
            result = askers.publish(quote_hashes=parameters.get("quote_hashes"), signed=signed, now_ns=now_ns)
            (intent_hash,) = result.pop("intent_hashes")
            return {**result, "intent_hash": intent_hash}
        case "get_status":
            return askers.get_status(parameters.get("intent_hash"))
    raise RpcRefusedError(f"Method not found: {method}")
