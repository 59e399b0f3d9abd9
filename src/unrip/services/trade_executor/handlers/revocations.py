"""The `SignRevocation`, `PublishRevocation` and `TraceRevocation` effects: the brake's way to the relay's RPC."""

from __future__ import annotations

import asyncio
import json
from functools import partial

from unrip.frame.asking import Ask
from unrip.frame.contract import Effect
from unrip.frame.runner import Handler
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
from unrip.venues.near_intents.relay_rpc import IntentFate, IntentStatus, RelayRpc, RelayRpcError, RelayRpcUnavailable
from unrip.venues.near_intents.revocation import sign_revocation
from unrip.venues.near_intents.rpc import RpcError
from unrip.venues.near_intents.signer import SignedMessage, Signer
from unrip.venues.near_intents.verifier import Verifier

#: How often one revocation is published before it is reported that the relay does not answer.
ATTEMPTS_MAX = 3
PAUSE_S = 0.5
#: How long one attempt may take, repeats of the client included: all attempts together take less than ten seconds.
ATTEMPT_BOUND_S = 2.5
#: The text with which the relay refuses a revocation that it never had, since somebody else used the nonce
#: (message-bus 12.2).
_NONCE_USED = "nonce was already used"


class RevocationHandlers:
    """Signs, publishes and traces revocations; needs neither Kafka nor PostgreSQL."""

    def __init__(
        self,
        signer: Signer,
        relay: RelayRpc,
        verifier: Verifier,
        *,
        account: str,
        ask: Ask,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._signer = signer
        self._relay = relay
        self._verifier = verifier
        self._account = account
        self._ask = ask
        self._pause_s = pause_s

    @property
    def by_effect(self) -> dict[type[Effect], Handler]:
        """The method that performs each effect."""
        return {
            SignRevocation: self.sign,
            PublishRevocation: self.publish,
            TraceRevocation: self.trace,
        }

    def sign(self, effect: SignRevocation) -> None:
        """Sign it; as fast as an offer."""
        signed = sign_revocation(self._signer, account=self._account, nonce=effect.nonce, deadline=effect.deadline)
        self._ask.emit(RevocationSigned(nonce=effect.nonce, intent_hash=signed.intent_hash, payload=_text(signed)))

    def publish(self, effect: PublishRevocation) -> None:
        """Publish it, a few times where the relay does not answer."""
        self._ask.start(self._publish(effect))

    def trace(self, effect: TraceRevocation) -> None:
        """Ask the relay for the transaction and the chain for what it did."""
        self._ask(
            partial(self._look, effect),
            on=(RelayRpcError, RpcError),
            unread=lambda _: RevocationTraced(nonce=effect.nonce, finding=Finding.UNKNOWN),
        )

    async def _publish(self, effect: PublishRevocation) -> None:
        publication, reason = Publication.UNREACHABLE, ""
        for attempt in range(ATTEMPTS_MAX):
            try:
                answer = await self._relay.publish(json.loads(effect.payload))
            except RelayRpcUnavailable as error:
                reason = str(error)
                await asyncio.sleep(self._pause_s if attempt + 1 < ATTEMPTS_MAX else 0)
            except RelayRpcError as error:
                publication, reason = Publication.REFUSED, str(error)
                break
            else:
                publication, reason = Publication.TAKEN if answer.taken else Publication.REFUSED, answer.reason
                break
        self._ask.emit(RevocationPublished(nonce=effect.nonce, publication=publication, reason=reason))

    async def _look(self, effect: TraceRevocation) -> RevocationTraced:
        """Whether the chain shows the revocation of the nonce as executed, or as not executed."""
        signed = sign_revocation(self._signer, account=self._account, nonce=effect.nonce, deadline=effect.deadline)
        status = await self._relay.status(signed.intent_hash)
        if status.tx_hash is not None:
            executed = await self._verifier.executed_intents(status.tx_hash, self._account)
            if executed.get(effect.nonce) == signed.intent_hash:
                return RevocationTraced(
                    nonce=effect.nonce,
                    finding=Finding.REVOKED,
                    intent_hash=signed.intent_hash,
                    payload=_text(signed),
                    tx_hash=status.tx_hash,
                )
        unused = await self._not_executed(status, signed, published=effect.payload is not None)
        return RevocationTraced(nonce=effect.nonce, finding=Finding.NOT_REVOKED if unused else Finding.UNKNOWN)

    async def _not_executed(self, status: IntentStatus, signed: SignedMessage, *, published: bool) -> bool:
        """Whether a revocation certainly did not use the nonce, which is used at a final block.

        Its transaction is final without it; or the relay never had it. For a revocation that we published, "not found"
        may pass (message-bus section 12.3): the same bytes sent again make the relay answer with what it knows.
        """
        if status.tx_hash is not None:
            return True
        if status.fate is not IntentFate.UNKNOWN:
            return False
        if not published:
            return True
        answer = await self._relay.publish(signed.signed_data)
        return not answer.taken and _NONCE_USED in answer.reason.lower()


def _text(signed: SignedMessage) -> str:
    return json.dumps(signed.signed_data, separators=(",", ":"), ensure_ascii=False)
