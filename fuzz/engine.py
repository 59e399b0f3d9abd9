"""One target under libFuzzer, in a process of its own: `python -m fuzz.engine TARGET LIBFUZZER_ARGUMENTS`."""

from __future__ import annotations

import random
import sys

import atheris

from fuzz.mutation import mutated

with atheris.instrument_imports(include=["unrip"]):
    from fuzz.targets import TARGETS


def changed(data: bytes, size_max: int, seed: int) -> bytes:
    """Half of the changes know JSON; the others are libFuzzer's own."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        return bytes(atheris.Mutate(data, size_max))
    return mutated(data, chance)[:size_max]


def main() -> None:
    """Fuzz until libFuzzer's own limits or a crash end the process."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
