"""`python -m unrip_world`: the simulated venue as one process, or its contract's opinion by `verify`."""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import NoReturn

from unrip_world import verify
from unrip_world.config import ConfigError, Script, load_script, load_settings
from unrip_world.memory.file import MemoryFile, MemoryFileError
from unrip_world.memory.keeper import remember
from unrip_world.servers.run import serve, write_ready_file
from unrip_world.terminal import say
from unrip_world.world import World

_DESCRIPTION = """\
A simulated NEAR Intents venue on loopback: solver relay, verifier contract behind NEAR JSON-RPC, bridge, Kraken,
CoinGecko, and takers who trade. Without --config it uses free ports, no authentication and two takers.
It prints one line with the control URL when ready, and runs until SIGINT or SIGTERM. See docs/world.md."""


class _Parser(argparse.ArgumentParser):
    """Errors are one line, as everywhere in this project."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help shows what there is\n")


def main() -> int:
    """Run the world, or verify; gives the process's exit code."""
    parser = _Parser(prog="unrip_world", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file; every key has a default")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands instead of running a world")
    verify.add_arguments(
        commands.add_parser(
            "verify",
            help="judge signed intents as the contract does",
            description=verify.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    arguments = parser.parse_args()
    if arguments.command == "verify":
        return verify.run(arguments, now_ns=time.time_ns)
    return _run_world(arguments.config)


def _run_world(path: Path | None) -> int:
    base = Path.cwd() if path is None else path.parent
    try:
        settings = load_settings(path)
        script = load_script(base / settings.faults_file) if settings.faults_file else Script()

        def begin(born_ns: int | None) -> World:
            return World(settings, script=script.faults, demands=script.demands, now_ns=time.time_ns(), born_ns=born_ns)

        memory = None if settings.memory_file is None else MemoryFile(base / settings.memory_file)
        world, keep = remember(memory, settings, begin=begin)
    except (ConfigError, MemoryFileError) as error:
        say(f"unrip_world: {error}", err=True)
        return 2

    def announce(urls: dict[str, str]) -> None:
        if settings.ready_file is not None:
            write_ready_file(base / settings.ready_file, urls)
        say(f"unrip_world ready: {urls['control']}")

    try:
        asyncio.run(serve(world, announce=announce, keep=keep))
    except MemoryFileError as error:
        say(f"unrip_world: {error}", err=True)
        return 1
    except OSError as error:
        say(f"unrip_world: cannot listen on {settings.host}: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
