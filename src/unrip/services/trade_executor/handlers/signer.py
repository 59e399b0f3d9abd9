"""The `SignOffer` and `ProveAuthority` effects: the only place where the key is used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from unrip.domain.command import TradeCommand
from unrip.domain.decide import command_id_of, nonce_free_bytes
from unrip.domain.pairs import Direction, Pair
from unrip.domain.values import Amount, epoch_ms, from_epoch_ms
from unrip.frame.asking import Ask
from unrip.frame.contract import Effect
from unrip.frame.runner import Handler
from unrip.services.trade_executor.effects import AuthorityJudged, OfferSigned, ProveAuthority, SignOffer
from unrip.venues.near_intents.nonces import encode_nonce
from unrip.venues.near_intents.rpc import RpcError
from unrip.venues.near_intents.signer import Signer
from unrip.venues.near_intents.verifier import Verifier

#: How long the simulated offer would live; it is sent only to the node that simulates it.
_PROOF_LIFE = timedelta(seconds=10)


class SignerHandlers:
    """Signs offers, and has the contract simulate one that nobody would want, to prove that it would accept ours."""

    def __init__(
        self,
        signer: Signer,
        verifier: Verifier,
        *,
        pair: Pair,
        account: str,
        ask: Ask,
        clock: Callable[[], datetime],
    ) -> None:
        self._signer = signer
        self._verifier = verifier
        self._pair = pair
        self._account = account
        self._ask = ask
        self._clock = clock

    @property
    def by_effect(self) -> dict[type[Effect], Handler]:
        """The method that performs each effect."""
        return {
            SignOffer: self.sign,
            ProveAuthority: self.prove,
        }

    def sign(self, effect: SignOffer) -> None:
        """Sign one offer; about 30 µs with the local key."""
        signed = self._signer.sign_offer(effect.command)
        self._ask.emit(
            OfferSigned(
                command_id=effect.command.command_id, quote_hash=signed.quote_hash, signed_payload=signed.params
            )
        )

    def prove(self, _effect: ProveAuthority) -> None:
        """Simulate an absurd offer: one unit of what we have against a fortune, for ten seconds."""
        self._ask(
            self._judge,
            on=RpcError,
            unread=lambda error: AuthorityJudged(proven=False, reason=f"the verifier could not be asked: {error}"),
        )

    async def _judge(self) -> AuthorityJudged:
        reading = await self._verifier.read()
        if not reading.key_registered:
            return AuthorityJudged(proven=False, reason="the key is not registered for the account on the verifier")
        if reading.account_locked:
            return AuthorityJudged(proven=False, reason="the account is locked on the verifier")
        direction = next(
            (way for way in Direction if reading.credited.get(self._pair.spent(way).asset_id, 0) > 0), None
        )
        if direction is None:  # nothing to offer: key, lock and salt are proven, and no offer could settle anyway
            return AuthorityJudged(proven=True, reason="no inventory to simulate an offer with")
        signed = self._signer.sign_offer(self._absurd(direction, reading.salt))
        simulation = await self._verifier.simulate([signed.signed_data])
        if simulation.refusal is not None:
            return AuthorityJudged(proven=False, reason=f"the verifier refuses our offers: {simulation.refusal}")
        return AuthorityJudged(proven=True, reason="a simulated offer passed every check")

    def _absurd(self, direction: Direction, salt: str) -> TradeCommand:
        """An offer of one smallest unit out against ten thousand whole tokens in."""
        deadline = from_epoch_ms(epoch_ms(self._clock() + _PROOF_LIFE))
        quote_id = f"proof of authority {epoch_ms(deadline)}"
        command_id = command_id_of(quote_id)
        received = self._pair.received(direction)
        return TradeCommand(
            command_id=command_id,
            decision_id="",
            quote_id=quote_id,
            account=self._account,
            pair=self._pair.name,
            direction=direction,
            asset_in=received.asset_id,
            asset_out=self._pair.spent(direction).asset_id,
            amount_in=received.units(Decimal(10_000)),
            amount_out=Amount(1),
            exact_in=True,
            answer_by=deadline,
            offer_deadline=deadline,
            salt=salt,
            nonce=encode_nonce(salt, epoch_ms(deadline), nonce_free_bytes(command_id)),
            nonce_deadline=deadline,
            fair_rate=Decimal(1),
            gross_edge=Decimal(1),
            edge_threshold=Decimal(0),
            notional_eur=Decimal(0),
            inventory_id="",
            inventory_height=0,
            inventory_credited=Amount(0),
            generation=0,
            policy_hash="",
        )
