"""`python -m unrip_world`: the simulated venue as one process."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from unrip_world.config import ConfigError, load_script, load_settings
from unrip_world.servers.run import serve, write_ready_file
from unrip_world.world import World

_DESCRIPTION = """\
A simulated NEAR Intents venue on loopback: solver relay, verifier contract behind NEAR JSON-RPC, bridge, Kraken,
CoinGecko, and takers who trade. Without --config it uses free ports, no authentication and two takers.
It prints one line with the control URL when ready, and runs until SIGINT or SIGTERM. See docs/world.md."""


def main() -> int:
    """Run the world; gives the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="unrip_world", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; every key has a default")
    path: Path | None = parser.parse_args().config
    base = Path.cwd() if path is None else path.parent
    try:
        settings = load_settings(path)
        script = load_script(base / settings.faults_file) if settings.faults_file else []
        world = World(settings, script=script, now_ns=time.time_ns())
    except ConfigError as error:
        print(f"unrip_world: {error}", file=sys.stderr)
        return 2

    def announce(urls: dict[str, str]) -> None:
        if settings.ready_file is not None:
            write_ready_file(base / settings.ready_file, urls)
        print(f"unrip_world ready: {urls['control']}", flush=True)

    try:
        asyncio.run(serve(world, announce=announce))
    except OSError as error:
        print(f"unrip_world: cannot listen on {settings.host}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
