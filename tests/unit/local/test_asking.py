"""At a start nothing is asked only once, and nothing for ever."""

import time

import pytest

from unrip.bus.desk_bus import DeskBus
from unrip.bus.kafka_admin import KafkaAdmin
from unrip.bus.ports import BusUnavailable
from unrip.local import preparing
from unrip.local.asking import ask_again
from unrip.store.connection import Database
from unrip.store.errors import StoreRefused, StoreUnavailable


class Flaky:
    """Does not answer a few times, then answers."""

    def __init__(self, error: Exception, *, times: int) -> None:
        self.error, self.left, self.asked = error, times, 0

    async def __call__(self, *_: object, **__: object) -> str:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


async def test_it_is_asked_again_until_there_is_an_answer() -> None:
    question = Flaky(StoreUnavailable("busy"), times=2)
    assert await ask_again(question, away=StoreUnavailable) == "answer"
    assert question.asked == 3


async def test_a_refusal_is_an_answer() -> None:
    question = Flaky(StoreRefused("no"), times=1)
    with pytest.raises(StoreRefused):
        await ask_again(question, away=StoreUnavailable)
    assert question.asked == 1


async def test_it_is_not_asked_for_ever() -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="busy"):
        await ask_again(Flaky(StoreUnavailable("busy"), times=1_000), away=StoreUnavailable, within_s=0.3)
    assert 0.3 < time.monotonic() - began < 5


async def test_no_question_of_a_start_is_asked_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first admin call that took longer than its bound ended a first start."""
    topics = Flaky(BusUnavailable("timed out"), times=1)
    migrations, declared = Flaky(StoreUnavailable("starting up"), times=1), Flaky(StoreUnavailable("busy"), times=1)
    monkeypatch.setattr(KafkaAdmin, "ensure_topics", topics)
    monkeypatch.setattr(preparing, "apply", migrations)
    monkeypatch.setattr(preparing, "declare_first_start", declared)
    await preparing.prepare_topics(DeskBus("127.0.0.1:1"), 1)
    await preparing.prepare_database("postgresql://x", "main")
    await preparing.declare_first_account(Database("postgresql://x"), "desk.near")
    assert (topics.asked, migrations.asked, declared.asked) == (2, 2, 2)
