"""No frame can hurt us: whatever a frame is, its parser gives an event or a refusal, within ten times its size."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.large import FILLERS, filled
from fuzz.mutation import ODD_VALUES, reordered, replaced
from fuzz.targets import TARGETS, corpus, logged, returned, structured
from unrip.net.exact import DENSE_BYTES_MAX
from unrip.venues.near_intents.verifier import VIEWS_AT_ONCE

MIB = 1024 * 1024
#: What loading, an event loop and an HTTP answer take beside the frame; also the most that a small frame can become.
BESIDE_BYTES = MIB
DEPTH_MAX = 200_000

every_target = pytest.mark.parametrize("name", TARGETS)
a_chance = st.randoms(use_true_random=False)
many = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def memory_bytes(name: str, data: bytes) -> int:
    """The most that the target held at once, beside the frame itself; raises what the target raises."""
    tracemalloc.start()
    try:
        TARGETS[name](data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@every_target
@many
@given(st.data())
def test_a_truncated_frame(name: str, data: st.DataObject) -> None:
    frame = data.draw(st.sampled_from([path.read_bytes() for path in corpus(name)]))
    TARGETS[name](frame[: data.draw(st.integers(0, len(frame)))])


@every_target
@many
@given(st.data(), a_chance)
def test_a_reordered_frame(name: str, data: st.DataObject, chance: random.Random) -> None:
    TARGETS[name](reordered(data.draw(st.sampled_from(structured(name))), chance))


@every_target
@many
@given(st.data(), a_chance)
def test_a_wrongly_typed_frame(name: str, data: st.DataObject, chance: random.Random) -> None:
    frame = data.draw(st.sampled_from(structured(name)))
    TARGETS[name](replaced(frame, data.draw(st.sampled_from(ODD_VALUES)), chance))


@every_target
@many
@given(st.data(), a_chance)
def test_a_deeply_nested_frame(name: str, data: st.DataObject, chance: random.Random) -> None:
    frame = data.draw(st.sampled_from(structured(name)))
    depth = data.draw(st.integers(800, 1_100) | st.integers(1, DEPTH_MAX))
    opening, closing = data.draw(st.sampled_from((("[", "]"), ('{"a":', "}"))))
    TARGETS[name](replaced(frame, opening * depth + "1" + closing * depth, chance))


@every_target
@many
@given(st.binary(max_size=2_000))
def test_any_bytes(name: str, data: bytes) -> None:
    TARGETS[name](data)


@every_target
@pytest.mark.parametrize("size", [DENSE_BYTES_MAX, 250_000, 4 * MIB], ids=["32 KiB", "250 kB", "4 MiB"])
def test_memory_stays_within_ten_times_a_frame(name: str, size: int) -> None:
    chance = random.Random(size)  # noqa: S311 - the same frames every time
    TARGETS[name](structured(name)[0])  # what is loaded at the first use is no part of a frame
    for what in FILLERS:
        # What the contract says reaches us as a list of numbers, four characters each, and of several views at once.
        frame = filled(chance.choice(structured(name)), what, size // 4 if name == "contract" else size, chance)
        served = VIEWS_AT_ONCE * len(returned(frame)) if name == "contract" else len(frame)
        assert memory_bytes(name, frame) <= 10 * served + BESIDE_BYTES, what


@pytest.mark.parametrize("entry", ["{}", "[]", '{"account_id":"solver.near"}', '{"a":{"b":{}}}'])
@pytest.mark.parametrize("event", ["token_diff", "salt_rotation"])
def test_memory_stays_within_ten_times_a_log(entry: str, event: str) -> None:
    data = ",".join([entry] * 20)
    line = f'EVENT_JSON:{{"standard":"dip4","event":"{event}","data":[{data}]}}\n'
    frame = logged((line * (2 * MIB // len(line))).encode())
    TARGETS["rpc"](frame[:1_000])
    assert memory_bytes("rpc", frame) <= 10 * len(frame) + BESIDE_BYTES
