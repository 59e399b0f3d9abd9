"""inventory-sync, as it describes itself."""

from __future__ import annotations

from pydantic import Field

from unrip.frame.action import Action, ReasonBody
from unrip.frame.definition import BOOKS, Reads, Service
from unrip.messages.topics import INTENT_INVENTORY, LIQUIDITY_ACTION, TRADE_RESULT
from unrip.services.inventory_sync.state import InventoryState


class AcceptBalanceBody(ReasonBody):
    """What an operator accepts, written out as it was seen."""

    asset: str = Field(description="Its symbol, such as BTC; or the id of another token of its coin.")
    unexplained: str = Field(description="The unexplained change in smallest units, such as -100, as /state shows it.")


_PLACE = "the position in its books"

SERVICE = Service(
    name="inventory-sync",
    does="what the verifier credits to us, and what the bridge still owes",
    port=8103,
    wiring="unrip.services.inventory_sync.wiring",
    uses=("near_intents", "limits", "intervals"),
    reads=(
        Reads(topic=INTENT_INVENTORY, tail=1, until_end=True),
        Reads(topic=TRADE_RESULT, place=_PLACE),
        Reads(topic=LIQUIDITY_ACTION, place=_PLACE),
    ),
    writes=(INTENT_INVENTORY,),
    actions=(
        Action(name="sync", summary="Read verifier and bridge now."),
        Action(name="accept-balance", body=AcceptBalanceBody, summary="Take an unexplained balance as explained."),
    ),
    logs={
        "inventory_stale": "the verifier could not be read for too long",
        "inventory_fresh": "the verifier is read again",
        "balance_unexplained": "a credited amount differs from what evidence and open offers explain",
        "transfer_not_shown": "a deposit or withdrawal was told that the bridge does not show us; it explains nothing",
        "balance_explained": "evidence, or an operator, explains the credited amount again",
    },
    stores=(BOOKS,),
    state=InventoryState,
)
