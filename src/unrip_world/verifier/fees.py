"""The protocol fee of `token_diff`, in pips (1 pip = 1/1 000 000).

The fee is taken from what a party gives, rounded up; the other side can receive only the rest.
"""

PIPS = 1_000_000
_I128_MAX = 2**127 - 1


def _pips_for(token_id: str, amount: int, fee_pips: int) -> int:
    """Single units of multi-token standards and all of nep171 travel free, so that an NFT survives a trade."""
    standard = token_id.partition(":")[0]
    if standard == "nep141" or (standard in ("nep245", "imt") and amount > 1):
        return fee_pips
    return 0


def fee_on(token_id: str, amount: int, fee_pips: int) -> int:
    """Fee on giving `amount` (positive), rounded up."""
    return -(-amount * _pips_for(token_id, amount, fee_pips) // PIPS)


def supply_delta(token_id: str, delta: int, fee_pips: int) -> int:
    """Give what a signed delta contributes to the batch: receipts whole, gifts without their fee."""
    return delta if delta >= 0 else delta + fee_on(token_id, -delta, fee_pips)


def closure_delta(token_id: str, delta: int, fee_pips: int) -> int:
    """Delta that one counterparty must sign so that both together balance."""
    closure = -supply_delta(token_id, delta, fee_pips)
    if closure >= 0:
        return closure
    rest_pips = PIPS - _pips_for(token_id, -closure, fee_pips)
    # Where the fee takes everything, no amount is enough.
    return closure * PIPS // rest_pips if rest_pips else -_I128_MAX


def net_of(token_id: str, gross: int, fee_pips: int) -> int:
    """Amount that arrives when `gross` is given."""
    return closure_delta(token_id, -gross, fee_pips)


def gross_for(token_id: str, net: int, fee_pips: int) -> int:
    """Amount that must be given so that `net` arrives."""
    return -closure_delta(token_id, net, fee_pips)
