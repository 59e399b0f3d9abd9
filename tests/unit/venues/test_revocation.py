"""Revocations and the relay's RPC that publishes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.json_service import client_of
from unrip.venues.near_intents.nonces import encode_nonce
from unrip.venues.near_intents.relay_rpc import (
    IntentFate,
    RelayRpc,
    RelayRpcRefused,
    RelayRpcUnavailable,
    api_key_headers,
)
from unrip.venues.near_intents.revocation import sign_revocation
from unrip.venues.near_intents.signer import Signer

SIGNER = Signer(bytes(range(32)), verifying_contract="intents.near")
DEADLINE = datetime(2026, 11, 24, 9, 1, tzinfo=UTC)
NONCE = encode_nonce("252812b3", 1_800_000_000_000, bytes(15))


def relay(answer: Any, *, status: int = 200) -> RelayRpc:
    said = answer if callable(answer) else lambda _: answer
    return RelayRpc(client_of(said, status=status), "http://127.0.0.1:9/rpc", headers=dict)


def result(**fields: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": fields}


def test_the_same_offer_always_gives_the_same_revocation_and_another_life_another_one() -> None:
    def sign(deadline: datetime) -> Any:
        return sign_revocation(SIGNER, account="desk.near", nonce=NONCE, deadline=deadline)

    assert sign(DEADLINE) == sign(DEADLINE)
    assert sign(DEADLINE).intent_hash != sign(DEADLINE + timedelta(milliseconds=1)).intent_hash
    payload = sign(DEADLINE).signed_data["payload"]
    assert payload["nonce"] == NONCE
    assert json.loads(payload["message"]) == {
        "deadline": "2026-11-24T09:01:00.000Z",
        "intents": [],
        "signer_id": "desk.near",
    }


async def test_an_intent_is_published_for_no_quote() -> None:
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return result(status="OK", intent_hash="hash")

    assert (await relay(answer).publish({"standard": "nep413"})).taken
    assert asked[0]["method"] == "publish_intent"
    assert asked[0]["params"] == [{"quote_hashes": [], "signed_data": {"standard": "nep413"}}]


@pytest.mark.parametrize(("reason", "taken"), [("nonce was already used", False), ("Already processed", True)])
async def test_what_the_relay_has_already_it_has_taken(reason: str, taken: bool) -> None:
    publication = await relay(result(status="FAILED", reason=reason, intent_hash="hash")).publish({})
    assert (publication.taken, publication.reason) == (taken, reason)


@pytest.mark.parametrize(
    ("answer", "fate", "tx_hash"),
    [
        ({"status": "PENDING"}, IntentFate.ON_ITS_WAY, None),
        ({"status": "TX_BROADCASTED", "data": {"hash": "tx"}}, IntentFate.ON_ITS_WAY, "tx"),
        ({"status": "SETTLED", "data": {"hash": "tx"}}, IntentFate.SETTLED, "tx"),
        ({"status": "NOT_FOUND_OR_NOT_VALID"}, IntentFate.UNKNOWN, None),
        (
            {"status": "NOT_FOUND_OR_NOT_VALID", "status_details": "FAILED", "data": {"hash": "tx"}},
            IntentFate.FAILED,
            "tx",
        ),
        ({"status": "SETTLED", "data": {"hash": 5}}, IntentFate.SETTLED, None),
    ],
)
async def test_what_became_of_an_intent(answer: dict[str, Any], fate: IntentFate, tx_hash: str | None) -> None:
    status = await relay(result(**answer)).status("hash")
    assert (status.fate, status.tx_hash) == (fate, tx_hash)


@pytest.mark.parametrize("answer", ["[]", '{"result":[]}', '{"result":{}}', '{"result":{"status":7}}', "{}"])
async def test_an_answer_that_says_nothing_is_unknown(answer: str) -> None:
    with pytest.raises(RelayRpcUnavailable):
        await relay(answer).publish({})
    with pytest.raises(RelayRpcUnavailable):
        await relay(answer).status("hash")


async def test_a_definite_no_is_told_apart_from_silence() -> None:
    with pytest.raises(RelayRpcRefused, match="bad params"):
        await relay({"error": {"code": -32602, "message": "bad params"}}).publish({})
    with pytest.raises(RelayRpcRefused):
        await relay("{}", status=403).status("hash")
    for passing in (429, 503):
        with pytest.raises(RelayRpcUnavailable):
            await relay("{}", status=passing).status("hash")
        with pytest.raises(RelayRpcUnavailable):
            await relay("{}", status=passing).publish({})


async def test_a_token_that_cannot_be_read_refuses_and_is_not_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-secret")
    token.chmod(0o644)
    client = client_of(lambda _: result(status="OK"))
    with pytest.raises(RelayRpcRefused) as refused:
        await RelayRpc(client, "http://127.0.0.1:9/rpc", headers=api_key_headers(token)).publish({})
    assert "a-secret" not in str(refused.value)
    token.chmod(0o600)
    assert api_key_headers(token)() == {"X-API-Key": "a-secret"}
    assert api_key_headers(None)() == {}
