from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.vectors import cases, label
from unrip.domain.command import TradeCommand
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount
from unrip.net.exact import instant
from unrip.venues.near_intents.nonces import decode_nonce, encode_nonce
from unrip.venues.near_intents.offers import OfferError, deadline_text, draft_offer, read_back
from unrip.venues.near_intents.relay import RelaySession
from unrip.venues.near_intents.signer import Signer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BTC, EURE = "nep141:btc.omft.near", "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"


def command(**changes: Any) -> TradeCommand:
    """A command that becomes a valid offer."""
    deadline = datetime(2030, 3, 17, 17, 47, 50, 7_000, tzinfo=UTC)
    nonce_deadline = deadline + timedelta(days=1)
    fields: dict[str, Any] = {
        "command_id": "c1",
        "decision_id": "d1",
        "quote_id": "q1",
        "account": "desk.example.near",
        "pair": "BTC/EURe",
        "direction": Direction.BASE_OUT,
        "asset_in": EURE,
        "asset_out": BTC,
        "amount_in": Amount(25 * 10**18),
        "amount_out": Amount(34_000),
        "exact_in": True,
        "answer_by": deadline - timedelta(seconds=69),
        "offer_deadline": deadline,
        "salt": "252812b3",
        "nonce": encode_nonce("252812b3", (nonce_deadline - EPOCH) // timedelta(milliseconds=1), b"fifteen bytes.."),
        "nonce_deadline": nonce_deadline,
        "fair_rate": Decimal(71_204),
        "gross_edge": Decimal("0.02"),
        "edge_threshold": Decimal("0.02"),
        "notional_eur": Decimal(25),
        "inventory_id": "i1",
        "inventory_height": 7,
        "inventory_credited": Amount(10**8),
        "generation": 1,
        "policy_hash": "p",
    }
    return TradeCommand(**{**fields, **changes})


def _of_vector(case: dict[str, Any]) -> TradeCommand:
    event, decision = case["event"], case["decision"]
    nonce = decode_nonce(decision["nonce"])
    return command(
        quote_id=event["quote_id"],
        account=case["solver"]["signer_id"],
        asset_in=event["defuse_asset_identifier_in"],
        asset_out=event["defuse_asset_identifier_out"],
        amount_in=Amount(event.get("exact_amount_in") or decision["amount_in"]),
        amount_out=Amount(event.get("exact_amount_out") or decision["amount_out"]),
        exact_in="exact_amount_in" in event,
        offer_deadline=instant(decision["deadline"]),
        salt=nonce.salt,
        nonce=decision["nonce"],
        nonce_deadline=EPOCH + timedelta(microseconds=nonce.deadline_ns // 1_000),
    )


@pytest.mark.parametrize("case", cases("relay_messages", "responses"), ids=label)
def test_answers_are_exactly_those_of_the_vectors(case: dict[str, Any]) -> None:
    signer = Signer(bytes.fromhex(case["solver"]["private_key_seed_hex"]), verifying_contract="intents.near")
    offer = signer.sign_offer(_of_vector(case))
    session = RelaySession(())
    session._next_id = case["decision"]["request_id"]
    assert json.loads(session.quote_response(offer.params, name="c1")) == case["expected"]["request"]
    assert offer.quote_hash == case["expected"]["quote_hash"]
    assert draft_offer(_of_vector(case), verifying_contract="intents.near").diff == case["expected"]["diff"]


@given(st.booleans(), st.integers(1, 2**127 - 1), st.integers(1, 2**127 - 1))
def test_every_amount_in_the_answer_is_the_commands(exact_in: bool, amount_in: int, amount_out: int) -> None:
    signer = Signer(bytes(32), verifying_contract="intents.near")
    offer = signer.sign_offer(command(amount_in=Amount(amount_in), amount_out=Amount(amount_out), exact_in=exact_in))
    (answer,) = json.loads(offer.params)
    assert answer["quote_output"] == ({"amount_out": str(amount_out)} if exact_in else {"amount_in": str(amount_in)})
    message = json.loads(answer["signed_data"]["payload"]["message"])
    assert message["intents"] == [{"intent": "token_diff", "diff": {EURE: str(amount_in), BTC: str(-amount_out)}}]
    assert answer["signed_data"] == offer.signed_data


def test_the_same_command_gives_the_same_bytes() -> None:
    signers = [Signer(bytes(32), verifying_contract="intents.near") for _ in range(2)]
    assert signers[0].sign_offer(command()) == signers[1].sign_offer(command())


@pytest.mark.parametrize(
    ("said", "other"),
    [
        ("2030-03-17T17:47:50.007Z", "2030-03-17T18:47:50.007Z"),
        ("2030-03-17T17:47:50.007Z", "2030-03-17T17:47:50.007+01:00"),
        ("25000000000000000000", "24999999999999999999"),
        ("-34000", "-34001"),
        ("desk.example.near", "desk.example.nearby"),
        (EURE, "nep141:wrap.near"),
    ],
)
def test_a_text_that_says_something_else_is_read_back_as_such(said: str, other: str) -> None:
    draft = draft_offer(command(), verifying_contract="intents.near")
    assert read_back(draft, command()) == command()
    spoilt = msgspec.structs.replace(draft, message=draft.message.replace(said, other))
    assert spoilt != draft
    assert read_back(spoilt, command()) != command()
    assert spoilt.quote_hash != draft.quote_hash


@pytest.mark.parametrize(
    "message", ["", "{}", '{"intents":[]}', '{"intents":[{}]}', '{"intents":[{"diff":{"a":1,"b":2}}]}']
)
def test_a_text_that_is_none_of_ours_cannot_be_read_back(message: str) -> None:
    draft = msgspec.structs.replace(draft_offer(command(), verifying_contract="intents.near"), message=message)
    with pytest.raises(OfferError, match="cannot be read back"):
        read_back(draft, command())


@pytest.mark.parametrize("field", ["offer_deadline", "nonce_deadline"])
def test_an_instant_finer_than_the_text_is_not_signed(field: str) -> None:
    finer = command(**{field: getattr(command(), field) + timedelta(microseconds=1)})
    with pytest.raises(OfferError):
        draft_offer(finer, verifying_contract="intents.near")


@pytest.mark.parametrize("hours", [-12, 2, 14])
def test_a_deadline_is_written_in_utc_whatever_zone_it_came_in(hours: int) -> None:
    at = datetime(2030, 3, 17, 17, 47, 50, 7_000, tzinfo=UTC)
    assert deadline_text(at.astimezone(timezone(timedelta(hours=hours)))) == "2030-03-17T17:47:50.007Z"
    with pytest.raises(ValueError, match="no time zone"):
        deadline_text(at.replace(tzinfo=None))


def test_deadlines_are_whole_milliseconds() -> None:
    assert deadline_text(datetime(2030, 3, 17, 17, 47, 50, tzinfo=UTC)) == "2030-03-17T17:47:50.000Z"
    assert deadline_text(datetime(2030, 3, 17, 17, 47, 50, 7_000, tzinfo=UTC)) == "2030-03-17T17:47:50.007Z"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"amount_in": Amount(0)}, "positive"),
        ({"amount_out": Amount(0)}, "positive"),
        ({"amount_in": Amount(2**127)}, "127 bits"),
        ({"asset_out": EURE}, "different assets"),
        ({"account": "Desk.near"}, "account id"),
        ({"nonce": "AAAA"}, "32 bytes"),
        ({"nonce": "A" * 43 + "="}, "magic"),
        ({"nonce": "Vij2xgEJCQkJAABu69RBdRoAAAAAAAAAAAAAAAAAAAA=", "salt": "09090909"}, "salt"),
        ({"salt": "00000000"}, "salt"),
        ({"nonce_deadline": datetime(2030, 3, 19, tzinfo=UTC)}, "nonce does not carry the command's deadline"),
        ({"nonce_deadline": datetime(2030, 3, 17, tzinfo=UTC)}, "would end before"),
        ({"offer_deadline": datetime(2030, 3, 17, 17, 47, 50, 7, tzinfo=UTC)}, "whole millisecond"),
    ],
)
def test_a_command_that_the_chain_would_refuse_is_not_signed(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(OfferError, match=what):
        draft_offer(msgspec.structs.replace(command(), **changes), verifying_contract="intents.near")
