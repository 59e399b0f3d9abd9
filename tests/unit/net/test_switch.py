"""Work that is done while a switch is on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from support.buses import eventually
from unrip.net.switch import Switch


async def test_the_work_begins_ends_and_begins_anew_with_the_switch() -> None:
    switch, said = Switch(), list[str]()

    async def work() -> None:
        said.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            said.append("ended")

    running = asyncio.ensure_future(switch.while_on(work)())
    await asyncio.sleep(0)
    assert said == []
    for times in range(1, 3):
        switch.turn(on=True)
        switch.turn(on=True)
        await eventually(lambda: said.count("begun") == times)  # noqa: B023 - awaited within the iteration
        switch.turn(on=False)
        await eventually(lambda: said.count("ended") == times)  # noqa: B023 - as above
    switch.turn(on=True)
    await eventually(lambda: said.count("begun") == 3)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert said == ["begun", "ended"] * 3


async def test_a_fault_of_the_work_is_told() -> None:
    switch = Switch()

    async def work() -> None:
        raise RuntimeError("broken")

    switch.turn(on=True)
    with pytest.raises(RuntimeError, match="broken"):
        await switch.while_on(work)()
