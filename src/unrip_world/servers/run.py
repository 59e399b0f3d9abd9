"""Bring all servers up, say where they are, and take them down."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from unrip_world.servers.control import Control
from unrip_world.servers.near import bridge_app, near_app
from unrip_world.servers.prices import coingecko_app, kraken_app
from unrip_world.servers.relay import relay_app
from unrip_world.servers.runtime import Runtime
from unrip_world.world import World

#: Open requests get this long at the end, so that an exit is quick.
_SHUTDOWN_S = 0.5


async def serve(world: World, *, announce: Callable[[dict[str, str]], None], keep: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets the URLs when all listens. Raises OSError for a taken port.

    `keep` is called before anybody is told anything.
    """
    runtime = Runtime(world, keep=keep)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    apps = {
        "relay": relay_app(runtime),
        "rpc": near_app(runtime, "rpc"),
        "rpc2": near_app(runtime, "rpc2"),
        "bridge": bridge_app(runtime),
        "kraken": kraken_app(runtime),
        "coingecko": coingecko_app(runtime),
        "control": Control(runtime).app(),
    }
    runners: list[web.AppRunner] = []
    pump = asyncio.create_task(runtime.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        hosts = {name: await _listen(world, name, app, runners) for name, app in apps.items()}
        announce(_urls(hosts))
        # The pump ends only by a fault of the world itself, and then that must be seen.
        await asyncio.wait((pump, stopping), return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
    finally:
        stopping.cancel()
        pump.cancel()
        await runtime.close()
        await asyncio.gather(*(runner.cleanup() for runner in runners))


async def _listen(world: World, name: str, app: web.Application, runners: list[web.AppRunner]) -> str:
    host, port = world.settings.host, getattr(world.settings.ports, name)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    runners.append(runner)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    address = runner.addresses[0]
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def _urls(hosts: dict[str, str]) -> dict[str, str]:
    return {
        "relay_ws": f"ws://{hosts['relay']}/ws",
        "relay_rpc": f"http://{hosts['relay']}/rpc",
        "near_rpc": f"http://{hosts['rpc']}/",
        "near_rpc_2": f"http://{hosts['rpc2']}/",
        "bridge": f"http://{hosts['bridge']}/rpc",
        "kraken_ws": f"ws://{hosts['kraken']}/v2",
        "kraken_rest": f"http://{hosts['kraken']}",
        "coingecko": f"http://{hosts['coingecko']}/api/v3",
        "control": f"http://{hosts['control']}",
    }


def write_ready_file(path: Path, urls: dict[str, str]) -> None:
    """Write the URLs so that a reader sees all of them or none."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(urls, indent=2))
    draft.replace(path)
