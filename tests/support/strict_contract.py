"""The world's contract with one account, and what it says to anything that this account signs."""

import json
from typing import Any

from support.virtual_world import DESK, START_NS
from unrip_world.assets import BTC
from unrip_world.verifier.contract import Genesis, Verifier
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.state import BALANCES, NONCES

WRAP = "nep141:wrap.near"
#: Not versioned, so that only the deadline of the message counts.
NONCE = bytes(range(32))
DIFF = {"intent": "token_diff", "diff": {BTC: "-5"}, "memo": "m", "referral": "r.near"}
BACK = {"intent": "token_diff", "diff": {BTC: "5"}}
TRANSFER = {"intent": "transfer", "receiver_id": "other.near", "tokens": {BTC: "5"}, "memo": "m", "msg": None}
WITHDRAWAL = {
    "intent": "ft_withdraw",
    "token": "btc.omft.near",
    "receiver_id": "other.near",
    "amount": "5",
    "memo": "m",
    "msg": "x",
    "storage_deposit": "3",
    "min_gas": "15000000000000",
}
NEW_KEY = {"intent": "add_public_key", "public_key": "ed25519:" + "1" * 32}
MESSAGE = {"signer_id": DESK.account_id, "deadline": "2031-01-01T00:00:00Z", "intents": [DIFF, BACK, TRANSFER]}


def contract(**changes: Any) -> Verifier:
    genesis = Genesis(
        **{
            "fee_pips": 0,
            "fee_collector": "fees.near",
            "salt": bytes(4),
            "public_keys": ((DESK.account_id, DESK.public_key),),
            "balances": tuple((DESK.account_id, token, 10**6) for token in (BTC, WRAP)),
            **changes,
        }
    )
    return Verifier(contract_id="intents.near", genesis=genesis, height=1, keep_blocks=10)


def refusal(signed: object, verifier: Verifier | None = None) -> str | None:
    """What the contract says to a batch of one; None where it executes. A refused one changes nothing."""
    verifier = verifier or contract()
    before = [dict(verifier.storage.at(2).items(table)) for table in (BALANCES, NONCES)]
    try:
        verifier.apply("execute_intents", {"signed": [signed]}, height=2, now_ns=START_NS)
    except PanicError as panic:
        assert [dict(verifier.storage.at(2).items(table)) for table in (BALANCES, NONCES)] == before
        return panic.text
    return None


def said_to(message: object, verifier: Verifier | None = None) -> str | None:
    """What it says to a signed message, which may be a text already."""
    text = message if isinstance(message, str) else json.dumps(message)
    return refusal(DESK.sign_text(text, nonce=NONCE), verifier)


def said_to_intent(**changes: Any) -> str | None:
    return said_to({**MESSAGE, "intents": [changes]})


def direct(method: str, verifier: Verifier | None = None, **arguments: Any) -> str | None:
    try:
        (verifier or contract()).apply(method, arguments, height=2, now_ns=START_NS)
    except PanicError as panic:
        return panic.text
    return None


SIGNED = DESK.sign_text(json.dumps(MESSAGE), nonce=NONCE)
