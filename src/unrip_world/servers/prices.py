"""Kraken (WebSocket v2 at `/v2`, REST under `/0/public`) and CoinGecko (`/api/v3`)."""

from aiohttp import WSMsgType, web

from unrip_world.servers.http import app_with_faults, json_response
from unrip_world.servers.runtime import Runtime

_MAX_FRAME_BYTES = 1 << 16
_PING_EVERY_S = 20


def kraken_app(runtime: Runtime) -> web.Application:
    """Make the exchange's application."""
    kraken = runtime.world.kraken

    async def socket(request: web.Request) -> web.StreamResponse:
        if (refusing := runtime.world.faults.get("kraken", "refuse_handshake")) is not None:
            return web.Response(status=refusing["status"], text="refused")
        ws = web.WebSocketResponse(heartbeat=_PING_EVERY_S, compress=False, max_msg_size=_MAX_FRAME_BYTES)
        await ws.prepare(request)
        connection = runtime.open_socket("kraken", ws)
        runtime.carry_out(kraken.on_open(connection, runtime.now_ns()))
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    runtime.carry_out(kraken.on_frame(connection, message.data, runtime.now_ns()))
        finally:
            kraken.on_close(connection)
            await runtime.close_socket("kraken", connection)
        return ws

    async def rest(request: web.Request) -> web.Response:
        endpoint, pair = request.match_info["endpoint"], request.query.get("pair")
        return json_response(kraken.rest(endpoint, pair, runtime.now_ns()))

    app = app_with_faults(runtime, "kraken")
    app.add_routes([web.get("/v2", socket), web.get("/0/public/{endpoint}", rest)])
    return app


def coingecko_app(runtime: Runtime) -> web.Application:
    """Make the aggregator's application. Keys are accepted and ignored."""
    coingecko = runtime.world.coingecko

    async def ping(_: web.Request) -> web.Response:
        return json_response({"gecko_says": "(V3) To the Moon!"})

    async def simple_price(request: web.Request) -> web.Response:
        if not request.query.get("vs_currencies"):
            return json_response({"error": "Missing parameter vs_currencies"}, status=422)
        answer = coingecko.simple_price(
            ids=request.query.get("ids", "").split(","),
            currencies=request.query["vs_currencies"].split(","),
            with_time=request.query.get("include_last_updated_at") == "true",
        )
        return json_response(answer)

    async def coin(request: web.Request) -> web.Response:
        page = coingecko.coin(request.match_info["coin"])
        return json_response({"error": "coin not found"}, status=404) if page is None else json_response(page)

    app = app_with_faults(runtime, "coingecko")
    app.add_routes(
        [
            web.get("/api/v3/ping", ping),
            web.get("/api/v3/simple/price", simple_price),
            web.get("/api/v3/coins/{coin}", coin),
            web.get("/api/v3/coins/{coin}/", coin),
        ]
    )
    return app
