"""From what the owner wants to the exact intent that burns it for the bridge, made only here.

Errors of building a withdrawal:

* ValueError
  x DestinationError    of `destinations`: nothing may be sent there
  x WithdrawalRefused   the bridge's terms do not allow it, or not within the owner's own limit
"""

from __future__ import annotations

from collections.abc import Sequence

from unrip.domain.pairs import Asset
from unrip.domain.treasury import BridgeToken, WithdrawalEstimate
from unrip.domain.values import AMOUNT_MAX, Amount, Value, shown
from unrip.venues.near_intents.destinations import check_destination

_STANDARD = "nep141:"
#: With this very prefix the token contract burns; without it the same transfer strands the amount (protocol/bridge 5).
_MEMO_PREFIX = "WITHDRAW_TO:"
#: Gas for the token's receipt, as the venue's own SDK writes it.
_MIN_GAS = "17050000000000"


class WithdrawalRefused(ValueError):  # noqa: N818 - an outcome; the base class says that it is an error
    """A withdrawal that must not be signed."""


class WithdrawalOrder(Value):
    """What the owner wants. An order that exists has a destination whose checksum was right.

    Raises:
        DestinationError: nothing may be sent there.
        WithdrawalRefused: the asset is not of the standard that the bridge burns, or an amount is not one.

    """

    asset: Asset
    destination: str
    #: What arrives on the other chain.
    receive: Amount
    #: The largest fee that the owner accepts.
    fee_max: Amount

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.asset.asset_id.startswith(_STANDARD) or self.token == "":
            raise WithdrawalRefused(f"{self.asset.asset_id} is no {_STANDARD} token: the bridge cannot burn it")
        check_destination(self.asset.chain, self.destination)
        _check_units("the amount to receive", self.receive)
        _check_units("the limit of the fee", self.fee_max)

    @property
    def token(self) -> str:
        """The token's contract on NEAR, which is also the receiver."""
        return self.asset.asset_id.removeprefix(_STANDARD)


def withdrawal_intent(
    order: WithdrawalOrder, *, tokens: Sequence[BridgeToken], estimate: WithdrawalEstimate
) -> dict[str, str]:
    """The `ft_withdraw` intent of an order, at the bridge's terms of this moment.

    The contract burns what is received and the fee, which the bridge keeps out of the amount; there is no `msg`,
    since with one nothing would be burned (protocol/bridge section 5).

    Raises:
        WithdrawalRefused: the bridge does not list the token or counts it in other units, a number of its terms is not
            an integer, the fee is above the order's limit, or the amount below the minimum or beyond the verifier.

    """
    minimum = _terms_of(order.asset, tokens).min_withdrawal
    _check_units("the bridge's minimum", minimum)
    _check_units("the bridge's fee", estimate.fee)
    if estimate.fee_decimals != order.asset.decimals:
        raise WithdrawalRefused(
            f"the bridge counts {order.asset.symbol} in {shown(estimate.fee_decimals)} decimals, "
            f"the settings in {order.asset.decimals}"
        )
    if estimate.fee > order.fee_max:
        raise WithdrawalRefused(f"the bridge's fee is {estimate.fee} units, above your limit of {order.fee_max}")
    if order.receive < minimum or order.receive == 0:
        raise WithdrawalRefused(f"{order.receive} units are below the bridge's minimum of {minimum}")
    amount = order.receive + estimate.fee
    if amount > AMOUNT_MAX:
        raise WithdrawalRefused("amount and fee together are more than the verifier counts")
    return {
        "intent": "ft_withdraw",
        "token": order.token,
        "receiver_id": order.token,
        "amount": str(amount),
        "memo": _MEMO_PREFIX + order.destination,
        "min_gas": _MIN_GAS,
    }


def _terms_of(asset: Asset, tokens: Sequence[BridgeToken]) -> BridgeToken:
    found = [token for token in tokens if (token.asset_id, token.chain) == (asset.asset_id, asset.chain)]
    if len(found) != 1:
        raise WithdrawalRefused(f"the bridge lists {asset.asset_id} {len(found)} times on {asset.chain}, not once")
    return found[0]


def _check_units(what: str, amount: object) -> None:
    """Check at run time that the bridge's number is an integer: types promise it, but this number moves money."""
    if isinstance(amount, bool) or not isinstance(amount, int) or not 0 <= amount <= AMOUNT_MAX:
        raise WithdrawalRefused(f"{what} is not an integer that the verifier counts: {shown(amount)}")
