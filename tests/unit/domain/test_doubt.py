"""What is believed of the chain: by our clock, by the last believed block, and against a belief that is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cases import NOW
from support.executor import a_reading
from unrip.domain.doubt import (
    AGREEING_ALONE_FOR,
    AGREEING_ALONE_MIN,
    AGREEING_MIN,
    BLOCKS_PER_S_MAX,
    BLOCKS_SLACK,
    Belief,
    Believed,
    Doubt,
    Older,
    Refused,
    Seen,
    past_doubt,
)
from unrip.domain.verifier import VerifierReading

AHEAD = timedelta(milliseconds=250)
HEIGHT = 180_000_000
#: Blocks come every 0.6 s, and are 1.5 s old when they are read.
AGE = timedelta(milliseconds=1_500)


def block(height: int, now: datetime, *, node: str = "1", age: timedelta = AGE) -> VerifierReading:
    return a_reading(height, now=now, block_time=now - age, observed_at=now, node=node)


def believing(nodes: int = 1, *, believed: int = HEIGHT) -> Belief:
    belief = Belief(ahead_max=AHEAD, nodes=nodes)
    belief.resume(Seen(height=believed, block_time=NOW - AGE))
    return belief


def name(judged: Believed | Older | Refused) -> str:
    return judged.doubt if isinstance(judged, Refused) else type(judged).__name__


@pytest.mark.parametrize(
    ("height", "after_s", "age_ms", "judged"),
    [
        (HEIGHT + 3, 2, 1_500, "Believed"),
        (HEIGHT, 0, 1_500, "Believed"),
        (HEIGHT + 3, 2, -250, "Believed"),
        (HEIGHT + 3, 2, -251, Doubt.CLOCK_SKEWED),
        (HEIGHT + 3, 2, -300_000, Doubt.CLOCK_SKEWED),
        (HEIGHT - 3, 2, 5_000, "Older"),
        (HEIGHT - 3, 2, 1_500, Doubt.CHAIN_WENT_BACK),
        (3, 2, 1_500, Doubt.CHAIN_WENT_BACK),
        (HEIGHT + BLOCKS_SLACK + 2 * BLOCKS_PER_S_MAX, 2, 1_500, "Believed"),
        (HEIGHT + BLOCKS_SLACK + 2 * BLOCKS_PER_S_MAX + 1, 2, 1_500, Doubt.HEIGHT_ABSURD),
        (2**62, 2, 1_500, Doubt.HEIGHT_ABSURD),
        (HEIGHT + 200_000, 86_400, 1_500, "Believed"),
        (HEIGHT + 3, 86_400, 86_400_000, "Believed"),
    ],
)
def test_a_reading_is_doubted_by_the_clock_and_by_what_was_believed(
    height: int, after_s: int, age_ms: int, judged: str
) -> None:
    now = NOW + timedelta(seconds=after_s)
    assert name(believing().take(block(height, now, age=timedelta(milliseconds=age_ms)), now)) == judged


def test_a_reading_that_our_own_clock_stamps_ahead_is_none() -> None:
    """The clock was set back since: no age means anything."""
    reading = a_reading(HEIGHT + 1, now=NOW, block_time=NOW - AGE, observed_at=NOW)
    assert name(believing().take(reading, NOW - timedelta(seconds=1))) == Doubt.CLOCK_SKEWED


def take_in_a_row(
    belief: Belief, count: int, *, nodes: tuple[str, ...], every_s: int = 2, first: int = 1_000
) -> list[str]:
    """Readings of a chain that is consistent in itself."""
    told = []
    for n in range(count):
        now = NOW + timedelta(seconds=2 + n * every_s)
        told.append(name(belief.take(block(first + n * every_s, now, node=nodes[n % len(nodes)]), now)))
    return told


@pytest.mark.parametrize("nodes", [("1", "2"), ("1+2",)])
def test_readings_in_a_row_from_two_nodes_replace_a_wrong_belief(nodes: tuple[str, ...]) -> None:
    belief = believing(nodes=2, believed=2**62)
    told = take_in_a_row(belief, AGREEING_MIN + 1, nodes=nodes)
    assert told == [Doubt.CHAIN_WENT_BACK] * (AGREEING_MIN - 1) + ["Believed"] * 2
    assert belief.believed is not None
    assert belief.believed.height < 2_000


def test_what_is_replaced_is_named_once() -> None:
    belief = believing(nodes=2, believed=2**62)
    judged = [
        belief.take(block(1_000 + n, NOW + timedelta(seconds=n + 2), node="12"[n % 2]), NOW + timedelta(seconds=n + 2))
        for n in range(AGREEING_MIN + 1)
    ]
    replaced = [each.replaces.height for each in judged if isinstance(each, Believed) and each.replaces is not None]
    assert replaced == [2**62]


def test_the_same_block_told_again_agrees_with_itself() -> None:
    """Readings may come faster than blocks."""
    belief = believing(nodes=2, believed=2**62)
    now = NOW + timedelta(seconds=2)
    told = [name(belief.take(block(1_000, now, node="12"[n % 2]), now)) for n in range(AGREEING_MIN)]
    assert told == [Doubt.CHAIN_WENT_BACK] * (AGREEING_MIN - 1) + ["Believed"]


def test_one_of_two_nodes_alone_replaces_nothing_however_often_it_says_so() -> None:
    belief = believing(nodes=2, believed=2**62)
    assert set(take_in_a_row(belief, 500, nodes=("1",))) == {Doubt.CHAIN_WENT_BACK}


def test_the_only_node_replaces_a_belief_after_so_many_readings_and_so_long() -> None:
    often = take_in_a_row(believing(believed=2**62), 200, nodes=("1",), every_s=1)
    assert often.index("Believed") == AGREEING_ALONE_FOR // timedelta(seconds=1)
    rarely = take_in_a_row(believing(believed=2**62), 200, nodes=("1",), every_s=20)
    assert rarely.index("Believed") == AGREEING_ALONE_MIN - 1


@pytest.mark.parametrize("spoilt", ["another chain", "the clock", "old"])
def test_readings_that_contradict_each_other_or_the_clock_replace_nothing(spoilt: str) -> None:
    belief = believing(nodes=2, believed=2**62)
    for n in range(60):
        now = NOW + timedelta(seconds=n + 2)
        height, age = 10_000 + n, AGE
        match spoilt:
            case "another chain":
                height = 10_000 + n if n % 3 else 5 + n
            case "the clock":
                age = -timedelta(seconds=5) if n % 3 == 0 else AGE
            case "old":
                age = timedelta(minutes=1)
        assert isinstance(belief.take(block(height, now, node="12"[n % 2], age=age), now), Refused | Older)


def test_an_absurd_jump_that_everybody_agrees_about_is_taken_in_the_end() -> None:
    """Our clock stood still with us: the chain went on for longer than we can know."""
    belief = believing(nodes=2)
    told = take_in_a_row(belief, AGREEING_MIN, nodes=("1", "2"), first=HEIGHT + 10**7)
    assert told == [Doubt.HEIGHT_ABSURD] * (AGREEING_MIN - 1) + ["Believed"]


def test_after_a_long_sleep_the_chain_has_gone_on_as_long_as_we_were_away() -> None:
    night = NOW + timedelta(hours=8)
    assert name(believing().take(block(HEIGHT + 8 * 6_000, night), night)) == "Believed"


def test_by_an_operators_word_the_next_reading_that_agrees_with_the_clock_replaces_the_belief() -> None:
    belief = believing(believed=2**62)
    belief.undone = True
    assert name(belief.take(block(1_000, NOW, age=-timedelta(seconds=5)), NOW)) == Doubt.CLOCK_SKEWED
    judged = belief.take(block(1_000, NOW), NOW)
    assert isinstance(judged, Believed)
    assert judged.replaces == Seen(height=2**62, block_time=NOW - AGE)
    assert belief.take(block(1_001, NOW), NOW) == Believed()


@given(
    told=st.lists(
        st.tuples(st.integers(0, 2**40), st.integers(-400_000, 400_000), st.integers(0, 30)), min_size=1, max_size=40
    )
)
def test_whatever_one_of_two_nodes_says_the_belief_never_goes_back_nor_beyond_what_time_allows(
    told: list[tuple[int, int, int]],
) -> None:
    belief, now = believing(nodes=2), NOW
    for height, age_ms, later_s in told:
        now += timedelta(seconds=later_s)
        before = belief.believed
        belief.take(block(height, now, age=timedelta(milliseconds=age_ms)), now)
        assert before is not None
        assert belief.believed is not None
        assert before.height <= belief.believed.height
        elapsed = max(now + AHEAD - before.block_time, timedelta(0)) / timedelta(seconds=1)
        assert belief.believed.height - before.height <= BLOCKS_SLACK + BLOCKS_PER_S_MAX * elapsed


@pytest.mark.parametrize(
    ("height", "ago_s", "doubt"),
    [
        (HEIGHT - 100, 60, None),
        (HEIGHT, 0, None),
        (HEIGHT + 1, 0, Doubt.CHAIN_WENT_BACK),
        (HEIGHT - 100, -1, Doubt.CHAIN_WENT_BACK),
        (HEIGHT - 100_000, 60, Doubt.HEIGHT_ABSURD),
    ],
)
def test_an_older_block_must_fit_the_newest_one(height: int, ago_s: int, doubt: Doubt | None) -> None:
    newest = Seen(height=HEIGHT, block_time=NOW)
    found = past_doubt(a_reading(height, block_time=NOW - timedelta(seconds=ago_s)), newest)
    assert (None if found is None else found.doubt) == doubt
