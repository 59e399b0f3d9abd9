"""What the verifier contract answered at one final block."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.values import Amount, Delta, Value


class VerifierReading(Value):
    """Balances, nonces and the contract's state, all of one final block, with our own time of reading."""

    height: int
    block_time: datetime
    observed_at: datetime
    credited: dict[str, Amount]
    #: The salt that new nonces must carry.
    salt: str
    fee_pips: int
    key_registered: bool
    account_locked: bool
    contract_paused: bool
    #: Nonce (base64) to whether it was used at that block.
    nonces: dict[str, bool]
    #: Salt (hex) to whether it was valid at that block, for the salts of the nonces asked about.
    salts: dict[str, bool]
    #: Which servers answered, by their place in the settings; two where they had to agree ("1+2").
    node: str = ""


class PastSpan(Value):
    """Where older blocks can still show how a nonce ended, when the newest one cannot."""

    salt: str
    #: A height at which the salt was valid.
    valid_at: int
    #: The newest final block, and its time.
    height: int
    block_time: datetime
    #: The nonce's own deadline: later, the contract may have forgotten that it was used.
    nonce_deadline: datetime


class UseSpan(Value):
    """Between which two blocks a nonce was used."""

    nonce: str
    #: At the first height it was not used yet; at the second it is.
    unused_at: int
    used_at: int


class VerifierFill(Value):
    """An executed intent of ours as the transaction's own logs show it: a settled offer, or any other."""

    quote_hash: str
    tx_hash: str
    #: None where the logs do not say what it moved.
    diff: dict[str, Delta] | None
    nonce: str | None
