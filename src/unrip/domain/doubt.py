"""Whether a reading of the chain may be believed, before it ends, releases or replaces anything.

A node may be wrong, lie, or belong to another chain. Its answers are compared with our clock and with the block that
was last believed. A doubted reading is refused by name, and changes nothing; when enough readings agree with one
another and with the clock, it is the belief that was wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from unrip.domain.values import Value
from unrip.domain.verifier import VerifierReading

#: More blocks than any chain makes in a second, and how many may be missing between two readings beside that.
BLOCKS_PER_S_MAX = 10
BLOCKS_SLACK = 1_000
#: A block that is this old agrees with the clock; a final one is two to four seconds old.
AGREES_WITHIN = timedelta(seconds=30)
#: Refused readings in a row that agree with one another replace what was believed: this many from two nodes or more;
#: where only one is named, this many over this long a time.
AGREEING_MIN = 4
AGREEING_ALONE_MIN = 20
AGREEING_ALONE_FOR = timedelta(minutes=1)


class Doubt(StrEnum):
    """Why a reading is not believed."""

    CLOCK_SKEWED = "clock_skewed"
    """The block's time, or our own time of reading it, lies ahead of our clock."""
    HEIGHT_ABSURD = "height_absurd"
    """The chain cannot have made so many blocks since the one that was last believed."""
    CHAIN_WENT_BACK = "chain_went_back"
    """Its height is lower than the believed one and its time is not: another chain, or the belief was wrong."""


class Seen(Value):
    """A block that a reading was of."""

    height: int
    block_time: datetime


class Believed(Value):
    """The reading may be used; `replaces` names the block that was believed wrongly until now."""

    replaces: Seen | None = None


class Older(Value):
    """A node lags behind what is known: nothing is wrong, and nothing follows."""


class Refused(Value):
    """The reading may not be used."""

    doubt: Doubt
    #: The numbers that decided it.
    numbers: dict[str, str]


def doubt_of(reading: VerifierReading, believed: Seen | None, now: datetime, *, ahead_max: timedelta) -> Refused | None:
    """Why this reading is not believed, by our clock and by the block that was believed last; None where it is."""
    ahead = max(reading.block_time, reading.observed_at) - now
    if ahead > ahead_max:
        return _refused(Doubt.CLOCK_SKEWED, ahead_ms=_ms(ahead), limit=_ms(ahead_max))
    if believed is None:
        return None
    return _height_doubt(Seen(height=reading.height, block_time=reading.block_time), believed)


def past_doubt(reading: VerifierReading, newest: Seen) -> Refused | None:
    """Why a reading of an older block is not believed beside the newest one; None where it is."""
    seen = Seen(height=reading.height, block_time=reading.block_time)
    if seen.height > newest.height or (seen.height < newest.height and seen.block_time > newest.block_time):
        return _refused(Doubt.CHAIN_WENT_BACK, height=seen.height, newest=newest.height)
    return _height_doubt(newest, seen)


def _height_doubt(seen: Seen, earlier: Seen) -> Refused | None:
    if seen.height < earlier.height:
        if seen.block_time <= earlier.block_time:
            return None
        return _refused(Doubt.CHAIN_WENT_BACK, height=seen.height, believed=earlier.height)
    elapsed_s = max(seen.block_time - earlier.block_time, timedelta(0)) // timedelta(seconds=1)
    most = earlier.height + BLOCKS_SLACK + BLOCKS_PER_S_MAX * elapsed_s
    if seen.height <= most:
        return None
    return _refused(Doubt.HEIGHT_ABSURD, height=seen.height, believed=earlier.height, limit=most)


def _refused(doubt: Doubt, **numbers: int) -> Refused:
    return Refused(doubt=doubt, numbers={name: str(number) for name, number in numbers.items()})


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


@dataclass
class Belief:
    """The block that is believed, and the readings that contradict it."""

    ahead_max: timedelta
    #: How many nodes are named.
    nodes: int = 1
    believed: Seen | None = None
    #: An operator took back what was believed: the next reading that agrees with the clock replaces it.
    undone: bool = False
    #: Refused readings in a row that agree with one another, each with its node, and when the first came.
    _against: list[tuple[str, Seen]] = field(default_factory=list)
    _since: datetime | None = None

    def resume(self, seen: Seen) -> None:
        """Go on from what an earlier life believed."""
        self.believed = seen

    def take(self, reading: VerifierReading, now: datetime) -> Believed | Older | Refused:
        """Judge a reading, and believe it where nothing contradicts it."""
        seen = Seen(height=reading.height, block_time=reading.block_time)
        refused = doubt_of(reading, self.believed, now, ahead_max=self.ahead_max)
        if refused is not None and not self._outweighed(seen, reading.node, refused, now):
            return refused
        before = self.believed
        if refused is None and before is not None and seen.height < before.height and not self.undone:
            return Older()
        replaced = before if refused is not None or self.undone else None
        self.believed, self.undone = seen, False
        self._against, self._since = [], None
        return Believed(replaces=replaced)

    def _outweighed(self, seen: Seen, node: str, refused: Refused, now: datetime) -> bool:
        """Whether so much agrees with a refused reading that what was believed must be wrong."""
        if refused.doubt is Doubt.CLOCK_SKEWED:  # it contradicts the clock, whichever node reports it
            self._against, self._since = [], None
            return False
        if self.undone:
            return True
        if now - seen.block_time > AGREES_WITHIN:
            return False
        last = self._against[-1][1] if self._against else seen
        if seen.height < last.height or _height_doubt(seen, last) is not None:
            self._against, self._since = [], None
        self._since = self._since or now
        self._against = [*self._against, (node, seen)][-AGREEING_ALONE_MIN:]
        told_by = {place for names, _seen in self._against for place in names.split("+")}
        if self.nodes > 1:
            return len(told_by) > 1 and len(self._against) >= AGREEING_MIN
        return len(self._against) >= AGREEING_ALONE_MIN and now - self._since >= AGREEING_ALONE_FOR
