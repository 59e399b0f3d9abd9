"""The brake's way to the relay: tried a few times, and "not found" is no answer about what we published."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from support.json_service import client_of
from unrip.domain.values import Value
from unrip.frame.asking import Ask
from unrip.services.trade_executor.effects import (
    Finding,
    Publication,
    PublishRevocation,
    RevocationPublished,
    RevocationSigned,
    RevocationTraced,
    SignRevocation,
    TraceRevocation,
)
from unrip.services.trade_executor.handlers.revocations import ATTEMPTS_MAX, RevocationHandlers
from unrip.venues.near_intents.nonces import encode_nonce
from unrip.venues.near_intents.relay_rpc import RelayRpc
from unrip.venues.near_intents.rpc import RpcUnavailable
from unrip.venues.near_intents.signer import Signer
from unrip.venues.near_intents.verifier import Verifier

ACCOUNT = "desk.near"
DEADLINE = datetime(2026, 11, 24, 9, 1, tzinfo=UTC)
NONCE = encode_nonce("252812b3", 1_800_000_000_000, bytes(15))
SIGNER = Signer(bytes(range(32)), verifying_contract="intents.near")


class Chain(Verifier):
    """What each transaction executed for us."""

    def __init__(self, executed: dict[str, dict[str, str]]) -> None:
        self._executed = executed

    async def executed_intents(self, tx_hash: str, account: str) -> dict[str, str]:
        assert account == ACCOUNT
        if tx_hash not in self._executed:
            raise RpcUnavailable("not final yet")
        return self._executed[tx_hash]


class Relay:
    """Answers by method, in turn; counts the questions."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def __call__(self, request: Any) -> Any:
        self.asked.append(request["method"])
        said = self._answers[request["method"]]
        return said if isinstance(said, str) or "error" in said else {"result": said}


async def outcome(effect: Value, relay: Relay, executed: dict[str, dict[str, str]] | None = None) -> Any:
    events: asyncio.Queue[Value] = asyncio.Queue()
    revoker = RevocationHandlers(
        SIGNER,
        RelayRpc(client_of(relay), "http://127.0.0.1:9/rpc", headers=dict),
        Chain(executed or {}),
        account=ACCOUNT,
        ask=Ask(start=asyncio.ensure_future, emit=events.put_nowait),
        pause_s=0,
    )
    perform = {SignRevocation: revoker.sign, PublishRevocation: revoker.publish, TraceRevocation: revoker.trace}
    perform[type(effect)](effect)  # type: ignore[operator]
    return await asyncio.wait_for(events.get(), 5)


async def signed() -> RevocationSigned:
    found = await outcome(SignRevocation(nonce=NONCE, deadline=DEADLINE), Relay())
    assert isinstance(found, RevocationSigned)
    return found


@pytest.mark.parametrize(
    ("answer", "publication", "attempts"),
    [
        ({"status": "OK"}, Publication.TAKEN, 1),
        ({"status": "FAILED", "reason": "nonce was already used"}, Publication.REFUSED, 1),
        ({"error": {"code": -32_602, "message": "the key is unknown"}}, Publication.REFUSED, 1),
        ("nonsense", Publication.UNREACHABLE, ATTEMPTS_MAX),
    ],
)
async def test_a_revocation_is_published_a_few_times(answer: Any, publication: Publication, attempts: int) -> None:
    relay = Relay(publish_intent=answer)
    told = await outcome(PublishRevocation(nonce=NONCE, payload=(await signed()).payload), relay)
    assert isinstance(told, RevocationPublished)
    assert told.publication is publication
    assert len(relay.asked) == attempts


NOT_FOUND = {"status": "NOT_FOUND_OR_NOT_VALID"}
SETTLED = {"status": "SETTLED", "data": {"hash": "tx"}}
USED = {"status": "FAILED", "reason": "nonce was already used"}


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize(
    ("status", "publish", "executed", "finding"),
    [
        (SETTLED, None, {"tx": {NONCE: "ours"}}, Finding.REVOKED),
        (SETTLED, None, {"tx": {NONCE: "somebody's"}}, Finding.NOT_REVOKED),
        (SETTLED, None, {"tx": {}}, Finding.NOT_REVOKED),
        (SETTLED, None, {}, Finding.UNKNOWN),
        ({"status": "PENDING"}, None, {}, Finding.UNKNOWN),
        ("nonsense", None, {}, Finding.UNKNOWN),
        (NOT_FOUND, USED, {}, Finding.NOT_REVOKED),
    ],
)
async def test_only_a_final_transaction_shows_that_a_revocation_took_the_nonce(
    published: bool, status: Any, publish: Any, executed: dict[str, dict[str, str]], finding: Finding
) -> None:
    own = await signed()
    chain = {tx: {n: own.intent_hash if who == "ours" else who for n, who in by.items()} for tx, by in executed.items()}
    question = TraceRevocation(nonce=NONCE, deadline=DEADLINE, payload=own.payload if published else None)
    relay = Relay(get_status=status, publish_intent=publish)
    traced = await outcome(question, relay, chain)
    assert isinstance(traced, RevocationTraced)
    assert traced.finding is finding
    if finding is Finding.REVOKED:
        assert (traced.intent_hash, traced.payload, traced.tx_hash) == (own.intent_hash, own.payload, "tx")
    assert relay.asked.count("publish_intent") == (1 if published and status == NOT_FOUND else 0)


@pytest.mark.parametrize("said", [{"status": "OK"}, {"status": "FAILED", "reason": "deadline has expired"}, "nonsense"])
async def test_not_found_is_no_answer_about_what_was_published(said: Any) -> None:
    question = TraceRevocation(nonce=NONCE, deadline=DEADLINE, payload=(await signed()).payload)
    traced = await outcome(question, Relay(get_status=NOT_FOUND, publish_intent=said))
    assert traced.finding is Finding.UNKNOWN
