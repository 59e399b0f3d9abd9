"""The relay's HTTP JSON-RPC for askers: quote, publish_intent(s), get_status."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unrip_world.chain.core import Chain
from unrip_world.codec import ns_to_rfc3339
from unrip_world.effects import Effect, Reply
from unrip_world.faults import Faults
from unrip_world.relay.auction import DEFAULT_MIN_DEADLINE_MS, Auction, Offer, QuoteRequest
from unrip_world.relay.checks import AMOUNT
from unrip_world.relay.core import Relay
from unrip_world.relay.settlement import Settlement
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.engine import authorise
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fees import gross_for, net_of
from unrip_world.verifier.payload import SignedPayload, decode_payload
from unrip_world.verifier.state import NONCES, SETTINGS

#: Longest window and longest life of an offer that an asker may demand.
_MAX_WAIT_MS = 60_000
_MAX_DEADLINE_MS = 3_600_000


class RpcRefusedError(Exception):
    """The request cannot be served; the text goes into `error`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    ticket: int
    #: What the asker fixed, before the fee.
    gross: int


class AskerDesk:
    """Requests of askers; a `quote` waits for its auction."""

    def __init__(self, *, relay: Relay, verifier: Verifier, chain: Chain, faults: Faults) -> None:
        self._relay, self._verifier, self._chain, self._faults = relay, verifier, chain, faults
        self._waiting: dict[str, _Waiting] = {}

    def quote(self, parameters: Mapping[str, Any], *, ticket: int, now_ns: int) -> list[Effect]:
        """Open an auction; its result is replied under the ticket. Raises RpcRefusedError."""
        request, gross = self._request(parameters)
        self._waiting[request.quote_id] = _Waiting(ticket=ticket, gross=gross)
        return self._relay.publish(request, now_ns)

    def _request(self, parameters: Mapping[str, Any]) -> tuple[QuoteRequest, int]:
        asset_in, asset_out = (
            str(parameters.get(f"defuse_asset_identifier_{side}") or _missing(side)) for side in ("in", "out")
        )
        amount_in, amount_out = parameters.get("exact_amount_in"), parameters.get("exact_amount_out")
        if (amount_in is None) == (amount_out is None):
            raise RpcRefusedError("exactly one of exact_amount_in and exact_amount_out is required")
        gross = _positive(amount_in if amount_out is None else amount_out)
        fee_pips = self.fee_pips
        request = QuoteRequest(
            quote_id=self._relay.new_id(),
            asset_in=asset_in,
            asset_out=asset_out,
            exact_amount_in=None if amount_in is None else str(net_of(asset_in, gross, fee_pips)),
            exact_amount_out=None if amount_out is None else str(gross_for(asset_out, gross, fee_pips)),
            min_deadline_ms=_milliseconds(parameters, "min_deadline_ms", at_most=_MAX_DEADLINE_MS)
            or DEFAULT_MIN_DEADLINE_MS,
            min_wait_ms=_milliseconds(parameters, "min_wait_ms", at_most=_MAX_WAIT_MS),
            max_wait_ms=_milliseconds(parameters, "max_wait_ms", at_most=_MAX_WAIT_MS),
            protocol_fee_included=True if parameters.get("protocol_fee_included") is True else None,
        )
        return request, gross

    @property
    def fee_pips(self) -> int:
        """The contract's fee at the head of the chain."""
        return int(self._verifier.storage.at(self._chain.head.height).get(SETTINGS, "fee"))

    def on_closed(self, auction: Auction) -> list[Effect]:
        """Answer the asker of this auction, if it came by RPC."""
        waiting = self._waiting.pop(auction.request.quote_id, None)
        if waiting is None:
            return []
        if auction.offers:
            auction.status = "quoted"
        quotes = [self._quote_entry(auction.request, offer, waiting.gross) for offer in auction.offers]
        return [Reply(ticket=waiting.ticket, result=quotes or None)]

    def _quote_entry(self, request: QuoteRequest, offer: Offer, gross: int) -> dict[str, Any]:
        # The asker sees its own gross fixed side; the other one is what its own intent must say.
        fee_pips = self.fee_pips
        amount_in = gross if request.is_exact_in else gross_for(request.asset_in, offer.amount_in, fee_pips)
        amount_out = net_of(request.asset_out, offer.amount_out, fee_pips) if request.is_exact_in else gross
        return {
            "quote_hash": offer.quote_hash,
            "defuse_asset_identifier_in": request.asset_in,
            "defuse_asset_identifier_out": request.asset_out,
            "amount_in": str(amount_in),
            "amount_out": str(amount_out),
            "expiration_time": ns_to_rfc3339(offer.deadline_ns, digits=3),
            "solver_id": offer.solver,
        }

    def publish(self, *, quote_hashes: object, signed: object, now_ns: int) -> dict[str, Any]:
        """Send the asker's intents with the quoted offers to the chain, or say why not. Raises RpcRefusedError."""
        if not isinstance(signed, list) or not signed or not isinstance(quote_hashes, list):
            raise RpcRefusedError("quote_hashes must be an array and the signed data at least one payload")
        try:
            payloads = [decode_payload(item) for item in signed]
        except PanicError as panic:
            raise RpcRefusedError(panic.text) from panic
        hashes = [payload.intent_hash for payload in payloads]
        offers = [self._relay.offers.get(quote_hash) for quote_hash in quote_hashes]
        reason = self._refusal(payloads, offers, now_ns)
        if reason is not None:
            return {"status": "FAILED", "reason": reason, "intent_hashes": hashes}
        self._relay.settlements.publish(
            quote_id=None, offers=[offer for offer in offers if offer], asker=signed, intent_hashes=hashes
        )
        for offer in filter(None, offers):
            self._relay.journal.count(offer.solver, "wins")
        return {"status": "OK", "intent_hashes": hashes}

    def _refusal(self, payloads: list[SignedPayload], offers: list[Offer | None], now_ns: int) -> str | None:
        if (fault := self._faults.get("relay", "refuse_publish")) is not None:
            return str(fault["reason"])
        if any(self._known(payload.intent_hash) for payload in payloads):
            return "already processed"
        if any(offer is None or offer.deadline_ns < now_ns for offer in offers):
            return "expired"
        state = self._verifier.storage.at(self._chain.head.height)
        try:
            for payload in payloads:
                message = authorise(state, payload, contract_id=self._verifier.contract_id, now_ns=now_ns)
                if state.get(NONCES, (message.signer_id, message.nonce), default=False):
                    return "nonce was already used"
        except PanicError as panic:
            return panic.text
        return None

    def _known(self, intent_hash: str) -> Settlement | None:
        """Find the batch of an intent, unless the relay has forgotten all of them."""
        forgetful = self._faults.get("relay", "forget_intents") is not None
        return None if forgetful else self._relay.settlements.find(intent_hash)

    def get_status(self, intent_hash: object) -> dict[str, Any]:
        """Answer where an asker's intent is."""
        settlement = self._known(str(intent_hash))
        if settlement is None:
            return {"intent_hash": intent_hash, "status": "NOT_FOUND_OR_NOT_VALID"}
        if self._faults.get("relay", "stay_pending") is not None:
            return {"intent_hash": intent_hash, "status": "PENDING"}
        status = {"broadcast": "TX_BROADCASTED", "settled": "SETTLED", "failed": "NOT_FOUND_OR_NOT_VALID"}
        told: dict[str, Any] = {
            "intent_hash": intent_hash,
            "status": status[settlement.status],
            "data": {"hash": settlement.tx_hash},
        }
        if settlement.status == "failed":
            # Without this the SDK polls for minutes (foreign clients).
            told["status_details"] = "FAILED"
        return told


def _missing(side: str) -> str:
    raise RpcRefusedError(f"defuse_asset_identifier_{side} is required")


def _milliseconds(parameters: Mapping[str, Any], name: str, *, at_most: int) -> int | None:
    value = parameters.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= at_most):
        raise RpcRefusedError(f"{name} must be a whole number of milliseconds up to {at_most}")
    return value


def _positive(text: object) -> int:
    if not isinstance(text, str) or AMOUNT.fullmatch(text) is None:
        raise RpcRefusedError("amounts are positive integers as text")
    return int(text)
