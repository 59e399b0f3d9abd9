"""NEAR JSON-RPC and the bridge service: one POST endpoint each."""

from aiohttp import web

from unrip_world.bridge.core import BridgeRefusedError
from unrip_world.rpc.core import RpcError
from unrip_world.servers.http import app_with_faults, read_json, rpc_error, rpc_result
from unrip_world.servers.runtime import Runtime


def near_app(runtime: Runtime) -> web.Application:
    """Make the node's application."""

    async def serve(request: web.Request) -> web.Response:
        body = await read_json(request)
        try:
            return rpc_result(body, runtime.world.near_rpc.call(body.get("method"), body.get("params")))
        except RpcError as error:
            return rpc_error(body, error.body)

    app = app_with_faults(runtime, "rpc")
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
