"""The section of trade-executor."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from unrip.frame.settings import Section


class SpendingSettings(Section):
    """What the executor lets leave at most, in whole tokens, whatever a command or a price says: its own last word."""

    #: One command may spend this much of the base. Twice the default cap of a trade at 100 000 EUR per BTC.
    base_per_command: Decimal = Field(default=Decimal("0.0005"), gt=0)
    #: All commands that were signed within 60 s; those of one nonce count once, as its largest.
    base_per_minute: Decimal = Field(default=Decimal("0.005"), gt=0)
    #: Everything of it that open offers hold.
    base_open: Decimal = Field(default=Decimal("0.005"), gt=0)
    #: The same three of the quote.
    quote_per_command: Decimal = Field(default=Decimal(25), gt=0)
    quote_per_minute: Decimal = Field(default=Decimal(250), gt=0)
    quote_open: Decimal = Field(default=Decimal(250), gt=0)
