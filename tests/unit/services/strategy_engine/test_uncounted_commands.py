"""What own commands promise is what a restart would find from the ledger and the topic."""

from __future__ import annotations

from datetime import timedelta

from support.cases import EURE, NOW, a_view
from support.engine import Engine, a_beat, a_record
from support.executor import a_command
from unrip.domain.desk_state import VIEW_KNOWN_AFTER, CommandPosition
from unrip.messages.topics import SERVICE_STATUS
from unrip.services.strategy_engine.uncounted_commands import PASSED_KEPT, UncountedCommands


def filled(count: int, topic_id: str = "old") -> UncountedCommands:
    book = UncountedCommands()
    for offset in range(count):
        command = a_command(f"q{offset}")
        book.add(command)
        book.placed(command, topic_id, offset)
    return book


def at(topic_id: str, next_offset: int) -> CommandPosition:
    return CommandPosition(topic_id=topic_id, next_offset=next_offset)


def test_commands_of_a_topic_that_is_gone_are_promised_no_more() -> None:
    book = filled(PASSED_KEPT + 20)
    book.use(at("old", PASSED_KEPT + 10))
    assert len(book) == 10
    first = a_command("first of the new topic")
    book.add(first)
    assert len(book) == 11, "not acknowledged yet"
    book.placed(first, "new", 0)
    assert len(book) == 1
    book.use(at("new", 1))
    assert (len(book), book.uncounted(), book.uncounted_in()) == (0, {}, {})


def test_the_topic_is_another_as_soon_as_it_is_read() -> None:
    """All may be promised, so that no command ever comes to the new topic."""
    book = filled(3)
    book.add(waiting := a_command("on its way"))
    book.stands("new")
    assert len(book) == 1
    assert book.uncounted() == {waiting.asset_out: waiting.amount_out}


def test_an_acknowledgement_from_the_lost_topic_comes_late() -> None:
    book = filled(1)
    book.stands("new")
    book.placed(last := a_command("new"), "new", 0)
    book.placed(a_command("late"), "old", 1)
    assert book.uncounted() == {last.asset_out: last.amount_out}


def test_the_ledgers_place_in_a_lost_topic_passes_nothing_of_the_new_one() -> None:
    book = filled(2, "new")
    book.use(at("old", 60))
    assert len(book) == 2


def test_a_view_that_was_overtaken_tells_nothing() -> None:
    """Views come over two topics; the number of the ledger's commits says which is newer."""
    desk = Engine().ready()

    def held() -> int:
        return int(desk.logic._inputs.ledger.held.get(EURE.asset_id, 0))  # type: ignore[union-attr]

    for commits, amount, expected in ((7, 5, 5), (6, 1, 5), (10**12, 3, 3), (8, 9, 3)):
        view = a_view(held={EURE.asset_id: amount}, commits=commits)
        desk.feed(a_record(SERVICE_STATUS, a_beat("trade-executor", view=view)))
        assert held() == expected
    ahead = NOW + timedelta(days=400)  # nobody's date makes what it wrote the last word
    desk.feed(a_record(SERVICE_STATUS, a_beat("trade-executor", view=a_view(commits=2**62)), observed_at=ahead))
    for seconds, expected in ((VIEW_KNOWN_AFTER.total_seconds(), 0), (VIEW_KNOWN_AFTER.total_seconds() + 0.001, 7)):
        desk.now = NOW + timedelta(seconds=seconds)
        view = a_view(held={EURE.asset_id: 7}, commits=9)
        desk.feed(a_record(SERVICE_STATUS, a_beat("trade-executor", view=view), observed_at=desk.now))
        assert held() == expected, "a beat of long after tells what is so"
