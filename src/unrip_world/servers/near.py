"""NEAR JSON-RPC and the bridge service: one POST endpoint each."""

import asyncio

from aiohttp import web

from unrip_world.bridge.core import BridgeRefusedError
from unrip_world.rpc.core import NotYetError, RpcError
from unrip_world.servers.http import app_with_faults, read_json, rpc_error, rpc_result
from unrip_world.servers.runtime import Runtime

#: A node waits so long for a transaction to be as far as it was asked for.
_TX_PATIENCE_S = 10.0


def near_app(runtime: Runtime, service: str) -> web.Application:
    """Make the application of one node."""
    node = runtime.world.nodes[service]

    async def serve(request: web.Request) -> web.Response:
        body = await read_json(request)
        patience = asyncio.get_running_loop().time() + _TX_PATIENCE_S
        while True:
            try:
                return rpc_result(body, node.call(body.get("method"), body.get("params")))
            except NotYetError as error:
                if asyncio.get_running_loop().time() >= patience:
                    return rpc_error(body, error.body)
                await runtime.next_change()
            except RpcError as error:
                return rpc_error(body, error.body)

    app = app_with_faults(runtime, service)
    app.add_routes([web.post("/", serve)])
    return app


def bridge_app(runtime: Runtime) -> web.Application:
    """Make the bridge's application."""

    async def serve(request: web.Request) -> web.Response:
        body = await read_json(request)
        try:
            return rpc_result(body, runtime.world.bridge.call(body.get("method"), body.get("params")))
        except BridgeRefusedError as refusal:
            # Plain text: as an object the SDK does not recognise its "not found" (foreign clients).
            return rpc_error(body, str(refusal))

    app = app_with_faults(runtime, "bridge")
    app.add_routes([web.post("/rpc", serve)])
    return app
