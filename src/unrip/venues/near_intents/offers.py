"""From a command to an offer: amounts, diff, message and answer are made from the same integers, and only here."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from unrip.domain.command import TradeCommand
from unrip.domain.values import AMOUNT_MAX, Amount, Value, epoch_ms, from_epoch_ms, utc
from unrip.net.exact import decode, instant, mapping
from unrip.venues.near_intents.keys import check_account_id
from unrip.venues.near_intents.nep413 import build_message, intent_hash, message_hash, signed_object
from unrip.venues.near_intents.nonces import decode_nonce

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OfferError(ValueError):
    """The command cannot become a valid offer; signing it would only hurt us."""


class DraftOffer(Value):
    """An offer complete but for its signature."""

    quote_id: str
    #: Asset id to signed amount: positive is what we receive, negative what we give.
    diff: dict[str, str]
    #: The amount that we propose.
    quote_output: dict[str, str]
    message: str
    nonce: str
    verifying_contract: str

    @property
    def digest(self) -> bytes:
        """The 32 bytes to sign."""
        return message_hash(self.message, nonce=self.nonce, recipient=self.verifying_contract)

    @property
    def quote_hash(self) -> str:
        """The hash that names the offer at the venue; it is known before sending."""
        return intent_hash(self.digest)


class SignedOffer(Value):
    """An offer that binds us as soon as anybody else has seen it."""

    quote_hash: str
    signed_data: dict[str, Any]
    #: The exact text of the `quote_response` parameters: what is recorded is what is sent.
    params: str


def draft_offer(command: TradeCommand, *, verifying_contract: str) -> DraftOffer:
    """Make the offer of a command, unsigned. Its text is read back, so whoever judges the command judges the text.

    Raises:
        OfferError: its amounts, deadlines, nonce or account would make it invalid on chain, or the text that would be
            signed says something else than the command.

    """
    _check_command(command)
    diff = {command.asset_in: str(command.amount_in), command.asset_out: f"-{command.amount_out}"}
    proposed = {"amount_out": command.amount_out} if command.exact_in else {"amount_in": command.amount_in}
    message = build_message(
        deadline=deadline_text(command.offer_deadline),
        intents=[{"intent": "token_diff", "diff": diff}],
        signer_id=command.account,
    )
    draft = DraftOffer(
        quote_id=command.quote_id,
        diff=diff,
        quote_output={side: str(amount) for side, amount in proposed.items()},
        message=message,
        nonce=command.nonce,
        verifying_contract=verifying_contract,
    )
    if (read := read_back(draft, command)) != command:
        names = [name for name in command.__struct_fields__ if getattr(read, name) != getattr(command, name)]
        raise OfferError(f"the text that would be signed says something else of {', '.join(names)}")
    return draft


def read_back(draft: DraftOffer, command: TradeCommand) -> TradeCommand:
    """Read a command's content back from the finished text of its offer: account, assets, amounts, deadlines and salt.

    Raises:
        OfferError: the text is not one that we write.

    """
    try:
        message = mapping(decode(draft.message), "the message")
        (intent,) = message["intents"]
        (gained, amount_in), (given, amount_out) = sorted(
            intent["diff"].items(), key=lambda side: str(side[1]).startswith("-")
        )
        nonce = decode_nonce(draft.nonce)
        return msgspec.structs.replace(
            command,
            quote_id=draft.quote_id,
            account=message["signer_id"],
            asset_in=gained,
            asset_out=given,
            amount_in=Amount.parse(amount_in),
            amount_out=Amount.parse(amount_out.removeprefix("-")),
            offer_deadline=instant(message["deadline"]),
            nonce=draft.nonce,
            salt=nonce.salt,
            nonce_deadline=_EPOCH + timedelta(microseconds=nonce.deadline_ns // 1_000),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise OfferError(f"the text that would be signed cannot be read back: {error}") from None


def complete_offer(draft: DraftOffer, *, public_key: str, signature: str) -> SignedOffer:
    """Add the signature; the result is the whole answer to the quote request."""
    signed_data = signed_object(
        draft.message,
        nonce=draft.nonce,
        recipient=draft.verifying_contract,
        public_key=public_key,
        signature=signature,
    )
    answer = {"quote_id": draft.quote_id, "quote_output": draft.quote_output, "signed_data": signed_data}
    return SignedOffer(
        quote_hash=draft.quote_hash,
        signed_data=signed_data,
        params=json.dumps([answer], separators=(",", ":"), ensure_ascii=False),
    )


def deadline_text(at: datetime) -> str:
    """Strict RFC 3339 in whole milliseconds; looser texts are refused by newer builds of the contract.

    Raises:
        ValueError: the instant has no time zone.

    """
    return utc(at).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _check_command(command: TradeCommand) -> None:
    """Refuse what the contract would refuse, and what would make our books differ from the chain.

    Raises:
        OfferError: amounts, deadlines, nonce or account would make its offer invalid.

    """
    if not 0 < command.amount_in <= AMOUNT_MAX or not 0 < command.amount_out <= AMOUNT_MAX:
        raise OfferError("both amounts must be positive and fit into 127 bits")
    if command.asset_in == command.asset_out:
        raise OfferError("an offer must exchange two different assets")
    if command.offer_deadline != from_epoch_ms(epoch_ms(command.offer_deadline)):
        raise OfferError("the offer's deadline is not a whole millisecond")
    if command.nonce_deadline < command.offer_deadline:
        raise OfferError("the nonce would end before the offer")
    try:
        check_account_id(command.account)
        nonce = decode_nonce(command.nonce)
    except ValueError as error:
        raise OfferError(str(error)) from None
    if nonce.version != 0 or nonce.salt != command.salt:
        raise OfferError("the nonce does not carry the command's salt")
    if nonce.deadline_ns != epoch_ms(command.nonce_deadline) * 1_000_000:
        raise OfferError("the nonce does not carry the command's deadline")
