"""The instruction to sign exactly one offer."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from unrip.domain.pairs import Direction
from unrip.domain.values import Amount, StoredId, StoredInt, Value


class Exchange(Value):
    """What an offer moves for us when it settles: fees are contained in what is signed."""

    asset_in: str
    amount_in: Amount
    asset_out: str
    amount_out: Amount


class TradeCommand(Value):
    """Everything the signer needs, chosen once: the same command always gives the same bytes.

    It is never edited, only executed or rejected; the executor chooses neither nonce nor deadline.
    """

    command_id: StoredId
    decision_id: str
    quote_id: str
    account: str
    pair: str
    direction: Direction
    asset_in: str
    asset_out: str
    #: What we receive.
    amount_in: Amount
    #: What we spend.
    amount_out: Amount
    #: Whether the taker fixed `amount_in`, so that we propose `amount_out`.
    exact_in: bool
    answer_by: datetime
    #: The signed deadline, whole milliseconds.
    offer_deadline: datetime
    #: The salt inside the nonce, 8 hex digits.
    salt: str
    #: The finished nonce, base64 of 32 bytes.
    nonce: str
    nonce_deadline: datetime
    #: The numbers that the executor checks again by itself.
    fair_rate: Decimal
    gross_edge: Decimal
    edge_threshold: Decimal
    notional_eur: Decimal
    #: The snapshot that it was decided on, and what that snapshot credits of the asset we spend.
    inventory_id: str
    inventory_height: StoredInt
    inventory_credited: Amount
    #: The deciding strategy's take-over number.
    generation: StoredInt
    policy_hash: str
    #: The first of the commands that share the nonce, whose id the nonce is made from; None where that is this one.
    nonce_opener: str | None = None
    #: The group that may share the nonce; None if the nonce is not shared.
    nonce_group: str | None = None

    @property
    def nonce_made_by(self) -> str:
        """The command whose id the nonce's free bytes are made from."""
        return self.nonce_opener or self.command_id
