"""A ledger that may not be the newest one: nothing is armed, nothing is forgotten, nothing is sent twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from support.cases import NOW
from support.engine import ARM, a_control, a_record
from support.executor import VIEW, Executor, a_command, a_reading, executor
from unrip.domain.attempt import AttemptState, Rejection, TradeResult
from unrip.domain.desk_state import COMMITS_MAX, CommandPosition
from unrip.domain.policy import Policy
from unrip.frame.contract import CaughtUp, ControlRefused, Started, Subscribe, TimerFired, TopicTruncated
from unrip.frame.leases import ForgetLease
from unrip.messages.topics import EXECUTE_TRADE, MARKET_PRICE, TRADE_RESULT
from unrip.net.events import SendFrame
from unrip.services.trade_executor.effects import (
    AuthorityJudged,
    LedgerLoaded,
    NoteSurroundings,
    RejectCommand,
    SignOffer,
    SignRevocation,
    VerifierRead,
)
from unrip.services.trade_executor.results import result_of_offer

POSITION = CommandPosition(topic_id="cmd.execute_trade-1", next_offset=5)


def started(
    doubt: str = "",
    *,
    results: tuple[TradeResult, ...] = (),
    position: CommandPosition | None = POSITION,
    until: datetime | None = None,
) -> Executor:
    """A start up to the point where nothing but a quarantine is in the way."""
    desk = Executor()
    desk.feed(Started(active=True, generation=1, start_id="trade-executor-2"))
    desk.feed(
        LedgerLoaded(position=position, open_offers=(), view=VIEW, doubt=doubt, quarantined_until=until),
    )
    for offset, result in enumerate(results):
        desk.feed(a_record(TRADE_RESULT, result, offset=offset, event_id=f"result-{offset}"))
    desk.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id="results-1"))
    desk.connect()
    desk.feed(AuthorityJudged(proven=True, reason="proven"))
    while desk.logic._book.writes.in_flight is not None:
        desk.noted()
    desk.read()
    return desk


def a_result(next_offset: int, *, topic_id: str = POSITION.topic_id, **changes: Any) -> TradeResult:
    """A result of an earlier life, with the ledger's position of then."""
    view = msgspec.structs.replace(VIEW, position=CommandPosition(topic_id=topic_id, next_offset=next_offset))
    result = result_of_offer(executor().send().offer, AttemptState.ACCEPTED)
    return msgspec.structs.replace(result, ledger=view, **changes)


def quarantined(desk: Executor) -> str | None:
    state = desk.state().quarantine
    return None if state is None else str(state.reason)


@pytest.mark.parametrize(
    ("desk", "reason"),
    [
        (started, None),
        (lambda: started(results=(a_result(5),)), None),
        (lambda: started(results=(a_result(4),)), None),
        (lambda: started("database_is_another"), "database_is_another"),
        (lambda: started("first_start_not_declared", position=None), "first_start_not_declared"),
        (lambda: started(results=(a_result(6),)), "ledger_older_than_its_results"),
        (lambda: started(results=(a_result(6), a_result(4))), "ledger_older_than_its_results"),
        (lambda: started(results=(a_result(1),), position=None), "ledger_older_than_its_results"),
        (lambda: started(results=(a_result(6, account="somebody.near"),)), None),
        (lambda: started(results=(a_result(6, topic_id="another"),)), None),
    ],
)
def test_what_shows_that_the_ledger_is_not_the_newest(desk: Any, reason: str | None) -> None:
    assert quarantined(desk()) == reason


@pytest.mark.parametrize(
    ("commits", "counted_from"), [(COMMITS_MAX, COMMITS_MAX), (COMMITS_MAX + 1, 0), (2**63 - 1, 0)]
)
def test_a_number_of_commits_that_no_ledger_has_made_is_heard_by_nobody(commits: int, counted_from: int) -> None:
    """PostgreSQL could not count on from it: one forged result would quarantine every start, and end none."""
    told = a_result(6)
    assert told.ledger is not None
    desk = started(
        results=(msgspec.structs.replace(told, ledger=msgspec.structs.replace(told.ledger, commits=commits)),)
    )
    assert quarantined(desk) == "ledger_older_than_its_results", "its position is another matter"
    assert max(note.commits for note in desk.of(NoteSurroundings)) == counted_from


def test_the_count_goes_on_above_what_the_last_result_has_heard_of() -> None:
    first, last = a_result(6), a_result(7)
    assert last.ledger is not None
    last = msgspec.structs.replace(last, ledger=msgspec.structs.replace(last.ledger, commits=900))
    assert [note.commits for note in started(results=(first, last)).of(NoteSurroundings)] == [0, 900]


def test_another_topic_of_commands_quarantines_before_its_first_command_is_handled() -> None:
    desk = started()
    record = a_record(EXECUTE_TRADE, a_command(), offset=0, event_id="c")
    desk.feed(msgspec.structs.replace(record, topic_id="made anew"))
    assert quarantined(desk) == "commands_topic_is_another"
    assert desk.of(RejectCommand) == []


@pytest.mark.parametrize(
    ("topic", "position", "reason"),
    [
        (EXECUTE_TRADE.name, POSITION, "commands_topic_is_truncated"),
        (EXECUTE_TRADE.name, None, None),
        (TRADE_RESULT.name, POSITION, None),
    ],
)
def test_a_topic_of_commands_that_is_cut_quarantines_like_another_one(
    topic: str, position: CommandPosition | None, reason: str | None
) -> None:
    desk = started(position=position)
    desk.feed(TopicTruncated(topic=topic, topic_id=POSITION.topic_id, offset=2))
    desk.feed(CaughtUp(topic=topic, topic_id=POSITION.topic_id))
    assert quarantined(desk) == reason


def test_commands_that_are_cut_while_they_are_followed_quarantine_nothing() -> None:
    """What this life has handled is in its ledger; as with a topic that is made anew meanwhile."""
    desk = started()
    desk.feed(CaughtUp(topic=EXECUTE_TRADE.name, topic_id=POSITION.topic_id))
    desk.feed(TopicTruncated(topic=EXECUTE_TRADE.name, topic_id=POSITION.topic_id, offset=2))
    assert quarantined(desk) is None


LIFE = timedelta(milliseconds=Policy().deadline_max_ms + Policy().deadline_margin_ms)


def at_the_end(desk: Executor) -> Executor:
    """The commands that stood in the topic are read."""
    desk.feed(CaughtUp(topic=EXECUTE_TRADE.name, topic_id=POSITION.topic_id))
    return desk


def test_nothing_is_armed_until_the_chain_is_past_the_longest_life() -> None:
    desk = at_the_end(started("database_is_another"))
    first = desk.logic._chain.reading
    assert first is not None
    with pytest.raises(ControlRefused, match="quarantine: database_is_another, until a final block is later than"):
        desk.feed(ARM)
    until = desk.state().quarantine.until
    assert until >= first.block_time + LIFE
    desk.read(block_time=until)
    assert quarantined(desk) is not None
    desk.read(block_time=until + timedelta(milliseconds=1), now=until)
    assert quarantined(desk) is not None, "a block that is ahead of our clock is not believed"
    desk.now = until + timedelta(seconds=2)
    desk.read(block_time=until + timedelta(milliseconds=1))
    assert quarantined(desk) is None
    desk.noted()
    assert desk.logic.not_ready(desk.now) == []
    assert [note.quarantined_until is None for note in desk.of(NoteSurroundings)] == [False, True]
    desk.feed(ARM)


def test_no_clock_ends_a_quarantine() -> None:
    desk = at_the_end(started("database_is_another"))
    desk.now += timedelta(days=1)
    desk.feed(TimerFired(name="quarantine"))
    assert quarantined(desk) is not None
    desk.now += LIFE
    desk.read(now=desk.now - timedelta(days=1))
    assert quarantined(desk) is not None, "an old block says nothing"


def test_the_first_block_counts_once_the_results_are_read() -> None:
    """An offer that is not known was sent before this start and not before an hour ago."""
    desk = Executor()
    desk.feed(Started(active=True, generation=1, start_id="trade-executor-2"))
    desk.feed(LedgerLoaded(position=POSITION, open_offers=(), view=VIEW, doubt="database_is_another"))
    desk.noted()
    desk.read()
    desk.now += LIFE + timedelta(seconds=10)
    desk.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id="results-1"))
    at_the_end(desk)
    desk.read()
    assert quarantined(desk) is not None


def test_a_quarantine_does_not_end_before_every_command_is_read_and_handled() -> None:
    desk = started("database_is_another")
    desk.now += LIFE + timedelta(seconds=10)
    desk.read()
    assert quarantined(desk) is not None
    desk.command()
    at_the_end(desk)
    desk.read()
    assert quarantined(desk) is not None, "a command is being handled"
    with pytest.raises(ControlRefused, match="every command is read"):
        desk.feed(ARM)
    desk.sign()
    desk.decide()
    desk.read()
    assert quarantined(desk) is None


def test_a_restart_measures_anew() -> None:
    """What an earlier life wrote down may be of a quarantine that was over long ago, in a copy of that moment."""
    desk = at_the_end(started("database_is_another", until=NOW - timedelta(days=30)))
    assert desk.of(NoteSurroundings) == []
    desk.read()
    assert quarantined(desk) == "database_is_another"
    desk.now += LIFE + timedelta(seconds=10)
    desk.read()
    assert quarantined(desk) is None


def test_a_quarantine_ends_what_was_armed_and_what_would_arm_again() -> None:
    desk = started("database_is_another")
    assert ForgetLease() in desk.effects


def test_a_command_that_the_ledger_does_not_know_counts_as_perhaps_sent() -> None:
    desk = started("database_is_another")
    command = a_command()
    desk.now = command.answer_by + timedelta(seconds=1)
    desk.command(command)
    at_the_end(desk)
    claim = desk.sign()
    assert (claim.perhaps_sent, claim.result.reason) == (True, "perhaps_sent")
    desk.decide()
    assert [frame for frame in desk.of(SendFrame) if frame.token is not None] == [], "nothing is sent twice"
    assert desk.of(RejectCommand) == []
    assert [offer.command_id for offer in desk.open_offers] == [command.command_id]
    desk.now = command.offer_deadline + timedelta(seconds=5)
    desk.read(asked=[command.nonce])
    assert desk.states[-1] == "lapsed"


@pytest.mark.parametrize("revoke", [True, False])
def test_a_halt_that_takes_offers_back_takes_back_what_is_adopted_after_it(revoke: bool) -> None:
    desk = started("database_is_another")
    desk.feed(a_control("halt", revoke=revoke))
    command = a_command()
    desk.command(command)
    desk.sign()
    desk.decide()
    assert [each.nonce for each in desk.of(SignRevocation)] == ([command.nonce] if revoke else [])
    told = desk.state().revocation
    assert ([each.quote_id for each in told.offers] if told else []) == ([command.quote_id] if revoke else [])


@pytest.mark.parametrize(
    ("changes", "late", "reason"),
    [
        ({"account": "somebody.near"}, False, Rejection.COMMAND_INVALID),
        ({"nonce": "bm9uY2U="}, False, Rejection.COMMAND_INVALID),
        ({}, True, Rejection.WINDOW_CLOSED),
    ],
)
def test_what_nobody_can_use_is_rejected_in_quarantine_too(
    changes: dict[str, Any], late: bool, reason: Rejection
) -> None:
    desk = started("database_is_another")
    command = a_command(**changes)
    if late:
        desk.now = command.nonce_deadline + timedelta(seconds=1)
    desk.command(command)
    assert desk.rejection.reason == reason


def test_commands_wait_until_a_final_block_was_read() -> None:
    desk = Executor()
    desk.feed(Started(active=True, generation=1, start_id="trade-executor-2"))
    desk.feed(LedgerLoaded(position=POSITION, open_offers=(), view=VIEW, doubt="database_is_another"))
    desk.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id="results-1"))
    desk.noted()
    desk.command()
    assert desk.of(SignOffer) == []
    desk.feed(VerifierRead(reading=a_reading()))
    assert desk.of(SignOffer) == [], "the ledger does not have its balances yet"
    desk.noted()
    assert desk.sign().perhaps_sent


def test_results_made_anew_are_heard_as_nothing_new() -> None:
    """A broker that comes back empty says once more that they are read back; the commands are followed already."""
    desk = started()
    assert [each.topic for each in desk.of(Subscribe)] == [MARKET_PRICE, TRADE_RESULT, EXECUTE_TRADE]
    assert desk.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id="results-2")) == []
    assert desk.logic.not_ready(desk.now) == []


def test_commands_are_read_only_after_the_results() -> None:
    desk = Executor()
    desk.feed(Started(active=True, generation=1, start_id="trade-executor-2"))
    desk.feed(LedgerLoaded(position=POSITION, open_offers=(), view=VIEW))
    assert [each.topic for each in desk.of(Subscribe)] == [MARKET_PRICE, TRADE_RESULT]
    assert "results_not_read" in desk.logic.not_ready(desk.now)
