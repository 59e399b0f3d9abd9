"""What the relay checks on a `quote_response` before it enters the auction."""

import re
from dataclasses import dataclass
from typing import Any

from unrip_world.codec import NS_PER_MS
from unrip_world.relay.auction import DEFAULT_MIN_DEADLINE_MS, Auction, Offer, QuoteRequest
from unrip_world.verifier.engine import authorise
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.message import Message, TokenDiff
from unrip_world.verifier.payload import decode_payload
from unrip_world.verifier.state import BALANCES, Reader

LATE = "quote not found or already finished"
#: A positive u128 in decimal, as answers and askers write it.
AMOUNT = re.compile(r"[1-9]\d{0,38}", re.ASCII)


class AnswerRefusedError(Exception):
    """The answer does not enter the auction; the solver gets the text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRules:
    """What the checks need to know of the venue."""

    contract_id: str
    check_balance: bool


def read_parameters(parameters: object) -> dict[str, Any]:
    """Give the one object of `params`; raises AnswerRefusedError."""
    if not isinstance(parameters, list) or len(parameters) != 1 or not isinstance(parameters[0], dict):
        raise AnswerRefusedError("params must be an array with one object")
    if not isinstance(parameters[0].get("quote_id"), str):
        raise AnswerRefusedError("quote_id must be a string")
    return parameters[0]


def is_decline(answer: dict[str, Any]) -> bool:
    """Whether the solver says why it does not offer, instead of offering."""
    output = answer.get("quote_output")
    return isinstance(output, dict) and isinstance(output.get("type"), str) and "signed_data" not in answer


def check_answer(
    answer: dict[str, Any], *, auction: Auction, solver: str, state: Reader, rules: AnswerRules, now_ns: int
) -> Offer:
    """Turn an answer into an offer; raises AnswerRefusedError with the reason."""
    request = auction.request
    proposed = _proposed_amount(answer.get("quote_output"), request)
    fixed = _fixed_amount(request)
    amount_in, amount_out = (fixed, proposed) if request.is_exact_in else (proposed, fixed)
    try:
        signed = decode_payload(answer.get("signed_data"))
        message = authorise(state, signed, contract_id=rules.contract_id, now_ns=now_ns)
    except PanicError as panic:
        raise AnswerRefusedError(panic.text) from panic
    _check_diff(message, {request.asset_in: amount_in, request.asset_out: -amount_out})
    min_deadline_ms = DEFAULT_MIN_DEADLINE_MS if request.min_deadline_ms is None else request.min_deadline_ms
    if message.deadline_ns < now_ns + min_deadline_ms * NS_PER_MS:
        raise AnswerRefusedError(f"deadline is earlier than now + min_deadline_ms ({min_deadline_ms})")
    if rules.check_balance and state.get(BALANCES, (message.signer_id, request.asset_out), 0) < amount_out:
        raise AnswerRefusedError("insufficient balance")
    return Offer(
        solver=solver,
        account_id=message.signer_id,
        quote_hash=signed.intent_hash,
        amount_in=amount_in,
        amount_out=amount_out,
        deadline_ns=message.deadline_ns,
        signed=answer["signed_data"],
    )


def _fixed_amount(request: QuoteRequest) -> int:
    text = request.exact_amount_in if request.is_exact_in else request.exact_amount_out
    # A raw demand of a test may name anything, also nothing.
    if text is None or AMOUNT.fullmatch(text) is None:
        raise AnswerRefusedError("the request fixes no valid amount")
    return int(text)


def _proposed_amount(output: object, request: QuoteRequest) -> int:
    if not isinstance(output, dict):
        raise AnswerRefusedError("quote_output must be an object")
    side, fixed_side = ("amount_out", "amount_in") if request.is_exact_in else ("amount_in", "amount_out")
    fixed = request.exact_amount_in if request.is_exact_in else request.exact_amount_out
    # Some clients repeat the fixed side; it must then be the asker's.
    if output.get(fixed_side, fixed) != fixed:
        raise AnswerRefusedError(f"quote_output.{fixed_side} differs from the request")
    proposed = output.get(side)
    if not isinstance(proposed, str) or AMOUNT.fullmatch(proposed) is None:
        raise AnswerRefusedError(f"quote_output.{side} must be a positive integer as text")
    return int(proposed)


def _check_diff(message: Message, expected: dict[str, int]) -> None:
    match message.intents:
        case (TokenDiff(diff=diff),) if diff == expected:
            return
    raise AnswerRefusedError("signed token_diff does not match the request and quote_output")
