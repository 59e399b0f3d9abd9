"""What a command must pass before it is signed, judged by its own numbers and our own reading of the verifier.

Whoever can write the topic must not be able to trade freely, so nothing here trusts the strategy (blueprint, section
8).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from unrip.domain.arming import Switches
from unrip.domain.attempt import Rejection
from unrip.domain.command import TradeCommand
from unrip.domain.decide import NonceEncoder, command_id_of, nonce_free_bytes
from unrip.domain.guards import PRICE_GUARDS
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Pair
from unrip.domain.policy import Policy
from unrip.domain.pricing import Proposal, gross_edge, value_eur
from unrip.domain.reference import Observed, Reference
from unrip.domain.spending import SpendingCaps
from unrip.domain.values import age_ms, decimal_of, epoch_ms
from unrip.domain.verifier import VerifierReading
from unrip.net.clock_offset import ClockCompared
from unrip.venues.near_intents.offers import OfferError, draft_offer

Numbers = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Inspector:
    """The executor's own limits and identity."""

    pair: Pair
    account: str
    policy: Policy
    #: EUR per whole quote asset, as the configuration assumes it (R5).
    eur_per_quote: Decimal
    encode_nonce: NonceEncoder
    #: How much of each asset may be spent, by its id and whatever the price.
    caps: Mapping[str, SpendingCaps]
    #: The contract that offers are signed for.
    verifying_contract: str = "intents.near"

    def rejection(
        self,
        command: TradeCommand,
        *,
        switches: Switches,
        connected: bool,
        reading: VerifierReading | None,
        told: VerifierReading | None,
        explained_fall: int,
        live_nonces: Container[str],
        clock: ClockCompared | None,
        commanded_at: datetime,
        overspent: Numbers | None,
        price: Observed[MarketPrice] | None,
        now: datetime,
    ) -> tuple[Rejection, Numbers] | None:
        """The first reason to reject the command; None when it may be signed.

        `reading` is the last one that was believed, `told` the last one at all.
        `explained_fall` is what open holds and recent settlements of the spent asset may have taken since the snapshot.
        `clock` is ours as compared with others, `commanded_at` the strategy's when it commanded.
        `live_nonces` are those of our open offers: no others can be shared. `overspent` says which cap it would break,
        and `price` is the newest that we read ourselves: no number of the command's own takes the place of either.
        """
        checks: tuple[Callable[[], tuple[Rejection, Numbers] | None], ...] = (
            lambda: _switched_off(command, switches, now),
            lambda: _invalid(self._fault(command, now) or overspent),
            lambda: _closed(command, now),
            lambda: _shares_nothing(command, live_nonces),
            lambda: None if connected else (Rejection.NOT_CONNECTED, {}),
            lambda: self.skewed(told, clock, now) or self._ahead({"command": commanded_at}, now),
            lambda: _invalid(self._own_price_fault(command, price, now)),
            lambda: self._stale(reading, now),
            lambda: _drifted(command, reading, explained_fall),
        )
        return next((found for check in checks if (found := check()) is not None), None)

    def unusable(self, command: TradeCommand, now: datetime) -> tuple[Rejection, Numbers] | None:
        """Why nobody can use an offer of this command, whether or not we sent one."""
        if command.account != self.account or command.pair != self.pair.name:
            return Rejection.COMMAND_INVALID, {"fault": "not our account or pair", "account": command.account}
        if self.pair.direction_of(command.asset_in, command.asset_out) is not command.direction:
            return Rejection.COMMAND_INVALID, {"fault": "assets do not fit the direction"}
        if (fault := self._offer_fault(command) or self._nonce_fault(command)) is not None:
            return Rejection.COMMAND_INVALID, fault
        if now > command.nonce_deadline:
            return Rejection.WINDOW_CLOSED, {"nonce_deadline": command.nonce_deadline.isoformat()}
        return None

    def _fault(self, command: TradeCommand, now: datetime) -> Numbers | None:
        """What is wrong with the command itself."""
        if command.account != self.account or command.pair != self.pair.name:
            return {"fault": "not our account or pair", "account": command.account, "pair": command.pair}
        if self.pair.direction_of(command.asset_in, command.asset_out) is not command.direction:
            return {"fault": "assets do not fit the direction", "direction": command.direction}
        if command.amount_in <= 0 or command.amount_out <= 0 or command.fair_rate <= 0:
            return {"fault": "an amount or the rate is not positive"}
        if command.command_id != command_id_of(command.quote_id):
            return {"fault": "command_id does not belong to the quote"}
        return self._life_fault(command, now) or self._offer_fault(command) or self._own_numbers_fault(command)

    def _life_fault(self, command: TradeCommand, now: datetime) -> Numbers | None:
        longest_ms = self.policy.longest_life_ms + self.policy.clock_ahead_max_ms
        life_ms = (command.offer_deadline - now) // timedelta(milliseconds=1)
        if life_ms > longest_ms:
            return {"fault": "offer lives too long", "life_ms": str(life_ms), "limit": str(longest_ms)}
        if command.nonce_deadline < command.offer_deadline:
            return {"fault": "nonce ends before the offer"}
        beyond_ms = (command.answer_by - command.offer_deadline) // timedelta(milliseconds=1)
        if beyond_ms > 0:
            return {"fault": "the answer is allowed after the offer's end", "beyond_ms": str(beyond_ms)}
        return self._nonce_fault(command)

    def _offer_fault(self, command: TradeCommand) -> Numbers | None:
        """What the signer would refuse; found only there, it would stop the executor again and again at one command.

        What passes has a text to sign with the same content as the command: every limit judged on one holds for the
        other.
        """
        try:
            draft_offer(command, verifying_contract=self.verifying_contract)
        except OfferError as error:
            return {"fault": str(error)}
        return None

    def _nonce_fault(self, command: TradeCommand) -> Numbers | None:
        try:
            nonce = self.encode_nonce(
                command.salt, epoch_ms(command.nonce_deadline), nonce_free_bytes(command.nonce_made_by)
            )
        except ValueError as error:
            return {"fault": f"nonce cannot be made: {error}"}
        return None if nonce == command.nonce else {"fault": "nonce is not the one of this command"}

    def _own_numbers_fault(self, command: TradeCommand) -> Numbers | None:
        floor = max(self.policy.edge_floor, command.edge_threshold)
        return self._price_fault(command, command.fair_rate, floor, "its own rate")

    def _own_price_fault(
        self, command: TradeCommand, price: Observed[MarketPrice] | None, now: datetime
    ) -> Numbers | None:
        """What our own price shows: the guards of the strategy, asked again, then edge and notional by that price."""
        reference = Reference(price=price, policy=self.policy, now=now)
        for reason, guard in PRICE_GUARDS.items():
            passed, numbers = guard(reference)
            if not passed:
                return {"fault": f"no price of our own to judge by: {reason}", **numbers}
        ahead_ms = -min(reference.price_age_ms or 0, 0)
        if ahead_ms > self.policy.clock_ahead_max_ms:
            return {"fault": "our own price lies ahead of our clock", "ahead_ms": str(ahead_ms)}
        rate = reference.fair_rate or Decimal(0)
        return self._price_fault(command, rate, self.policy.edge_floor, "our own price")

    def _price_fault(self, command: TradeCommand, fair_rate: Decimal, floor: Decimal, by: str) -> Numbers | None:
        """Whether the edge is too small, or either side worth too much, by one rate."""
        proposal = Proposal(amount_in=command.amount_in, amount_out=command.amount_out)
        edge = gross_edge(self.pair, command.direction, fair_rate=fair_rate, proposal=proposal)
        if edge < floor:
            return {"fault": "edge too small", "by": by, "gross_edge": str(decimal_of(edge)), "limit": str(floor)}
        sides = {
            "notional": (self.pair.received(command.direction), command.amount_in),
            "what is spent": (self.pair.spent(command.direction), command.amount_out),
        }
        for side, (asset, amount) in sides.items():
            worth = value_eur(self.pair, asset, amount, fair_rate=fair_rate, eur_per_quote=self.eur_per_quote)
            if worth > self.policy.notional_ceiling_eur:
                ceiling = str(self.policy.notional_ceiling_eur)
                return {
                    "fault": f"{side} too large",
                    "by": by,
                    "notional_eur": str(decimal_of(worth)),
                    "limit": ceiling,
                }
        return None

    def skewed(
        self, told: VerifierReading | None, clock: ClockCompared | None, now: datetime
    ) -> tuple[Rejection, Numbers] | None:
        """Whether our clock is wrong, by those of the servers that answer us or by the final block that we read."""
        limit = self.policy.clock_ahead_max_ms
        if clock is not None and (offset_ms := clock.beyond(limit)) is not None:
            return Rejection.CLOCK_SKEWED, {"offset_ms": str(offset_ms), "limit": str(limit)}
        return None if told is None else self._ahead({"block": told.block_time, "read": told.observed_at}, now)

    def _ahead(self, instants: dict[str, datetime], now: datetime) -> tuple[Rejection, Numbers] | None:
        """Whether one of these lies further ahead of our clock than two clocks may differ."""
        limit = self.policy.clock_ahead_max_ms
        ahead = (max(instants.values()) - now) // timedelta(milliseconds=1)
        return None if ahead <= limit else (Rejection.CLOCK_SKEWED, {"ahead_ms": str(ahead), "limit": str(limit)})

    def believes(self, reading: VerifierReading, now: datetime) -> bool:
        """Whether a final block is neither ahead of our clock nor old by it."""
        return self.skewed(reading, None, now) is None and self._stale(reading, now) is None

    def _stale(self, reading: VerifierReading | None, now: datetime) -> tuple[Rejection, Numbers] | None:
        limit = self.policy.inventory_age_max_ms
        if reading is None:
            return Rejection.INVENTORY_STALE, {"own_read_age_ms": "unknown", "limit": str(limit)}
        age = age_ms(now, reading.observed_at, reading.block_time)
        if age > limit:
            return Rejection.INVENTORY_STALE, {"own_read_age_ms": str(age), "limit": str(limit)}
        return None


def _invalid(fault: Numbers | None) -> tuple[Rejection, Numbers] | None:
    return None if fault is None else (Rejection.COMMAND_INVALID, fault)


def _switched_off(command: TradeCommand, switches: Switches, now: datetime) -> tuple[Rejection, Numbers] | None:
    armed = switches.armed_directions(now)
    if command.direction not in armed:
        return Rejection.DISARMED, {"direction": command.direction, "armed": ",".join(armed) or "none"}
    return (Rejection.HALTED, {}) if switches.halted else None


def _closed(command: TradeCommand, now: datetime) -> tuple[Rejection, Numbers] | None:
    left_ms = (command.answer_by - now) // timedelta(milliseconds=1)
    return (Rejection.WINDOW_CLOSED, {"window_left_ms": str(left_ms)}) if left_ms <= 0 else None


def _shares_nothing(command: TradeCommand, live_nonces: Container[str]) -> tuple[Rejection, Numbers] | None:
    """Reject a nonce that is neither the command's own nor of live offers of ours: nobody can make us sign another."""
    if command.nonce_opener in {None, command.command_id} or command.nonce in live_nonces:
        return None
    return Rejection.NONCE_ENDED, {"nonce_opener": command.nonce_made_by}


def _drifted(
    command: TradeCommand, reading: VerifierReading | None, explained_fall: int
) -> tuple[Rejection, Numbers] | None:
    """Whether the spent asset fell, unexplained, between the snapshot and our own later reading.

    Our own reading of an earlier block than the snapshot's proves nothing; the ledger's counters judge then.
    """
    if reading is None or reading.height < command.inventory_height:
        return None
    own = reading.credited.get(command.asset_out, 0)
    fall = command.inventory_credited - own
    if fall <= explained_fall:
        return None
    numbers = {
        "snapshot_credited": str(int(command.inventory_credited)),
        "own_credited": str(int(own)),
        "explained_fall": str(explained_fall),
        "snapshot_height": str(command.inventory_height),
        "own_height": str(reading.height),
    }
    return Rejection.INVENTORY_DRIFT, numbers
