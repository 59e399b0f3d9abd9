"""The section of trade-executor."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from unrip.frame.settings import Section


class SpendingSettings(Section):
    """How much the executor lets leave at most, in whole tokens, whatever a command or a price says."""

    #: How much of the base one command may spend: twice the default cap of a trade at 100 000 EUR per BTC.
    base_per_command: Decimal = Field(default=Decimal("0.0005"), gt=0)
    #: How much of it all commands within 60 s may spend; those of one nonce count once, as the largest.
    base_per_minute: Decimal = Field(default=Decimal("0.005"), gt=0)
    #: How much of it open offers may hold together.
    base_open: Decimal = Field(default=Decimal("0.005"), gt=0)
    #: The same three for the quote.
    quote_per_command: Decimal = Field(default=Decimal(25), gt=0)
    quote_per_minute: Decimal = Field(default=Decimal(250), gt=0)
    quote_open: Decimal = Field(default=Decimal(250), gt=0)
