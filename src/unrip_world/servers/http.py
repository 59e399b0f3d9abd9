"""What the HTTP servers share: faults of the transport, JSON bodies, JSON-RPC requests."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from unrip_world.codec import decode_json, encode_json
from unrip_world.servers.runtime import Runtime

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def app_with_faults(runtime: Runtime, service: str) -> web.Application:
    """Make an application whose requests feel `down`, `mute` and `slow_ms` of its service."""

    @web.middleware
    async def faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
        if runtime.world.faults.get(service, "down") is not None:
            return web.Response(status=503, text="Service Unavailable")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            # A muted socket opens and then says nothing; a muted HTTP request is never answered.
            while runtime.world.faults.get(service, "mute") is not None:
                await runtime.next_change()
            await asyncio.sleep(runtime.delay_s(service))
            if (told := runtime.world.faults.get(service, "http_status")) is not None:
                later = {"Retry-After": str(told["retry_after_s"])} if told["retry_after_s"] else {}
                return web.Response(status=told["status"], text=told["text"], headers=later)
        response = await handler(request)
        if (skew := runtime.world.faults.get(service, "date_skew_ms")) is not None and not response.prepared:
            told_at = datetime.now(UTC) + timedelta(milliseconds=skew["ms"])
            response.headers["Date"] = format_datetime(told_at, usegmt=True)
        runtime.keep()
        return response

    return web.Application(middlewares=[faulty])


def json_response(body: object, *, status: int = 200) -> web.Response:
    """Answer with exact JSON."""
    return web.Response(text=encode_json(body), status=status, content_type="application/json")


async def read_json(request: web.Request) -> dict[str, Any]:
    """Read a JSON object; raises HTTPBadRequest with a JSON body."""
    try:
        body = decode_json(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        text = encode_json({"error": "the body must be a JSON object"})
        raise web.HTTPBadRequest(text=text, content_type="application/json")
    return body


def rpc_result(request: dict[str, Any], result: object) -> web.Response:
    """Answer a JSON-RPC request; the id comes back as it was sent."""
    return json_response({"jsonrpc": "2.0", "id": request.get("id"), "result": result})


def rpc_error(request: dict[str, Any], error: object) -> web.Response:
    """Refuse a JSON-RPC request; there is no `result` beside an error, since clients read a null there as success."""
    return json_response({"jsonrpc": "2.0", "id": request.get("id"), "error": error})
