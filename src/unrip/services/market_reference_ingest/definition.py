"""market-reference-ingest, as it describes itself."""

from __future__ import annotations

from pydantic import Field

from unrip.frame.action import Action, ReasonBody
from unrip.frame.definition import Reads, Service
from unrip.frame.link import LINK_LOGS
from unrip.messages.topics import MARKET_PRICE
from unrip.services.market_reference_ingest.settings import CoinGeckoSettings, KrakenSettings, PriceSettings
from unrip.services.market_reference_ingest.state import ReferenceState


class AcceptDisagreementBody(ReasonBody):
    """How far the sources may be apart, and for how long."""

    up_to: str = Field(description="With its unit: '5.5 %' or '550 bps'; no less than they are apart now.")
    minutes: int = Field(ge=0, le=60, description="It ends by itself after these; 0 takes back what was accepted.")


ACCEPT_DISAGREEMENT = Action(
    name="accept-disagreement", body=AcceptDisagreementBody, summary="Let CoinGecko contradict Kraken for a while."
)

SERVICE = Service(
    name="market-reference-ingest",
    does="Kraken and CoinGecko as one price event",
    port=8102,
    wiring="unrip.services.market_reference_ingest.wiring",
    settings={"kraken": KrakenSettings, "coingecko": CoinGeckoSettings, "price": PriceSettings},
    uses=("limits", "intervals"),
    secrets=("coingecko.key_file",),
    reads=(Reads(topic=MARKET_PRICE, tail=1, until_end=True),),
    writes=(MARKET_PRICE,),
    actions=(Action(name="refresh", summary="Ask both sources now."), ACCEPT_DISAGREEMENT),
    logs={
        **LINK_LOGS,
        "source_stale": "a price source is older than its limit",
        "source_fresh": "a price source is fresh again",
        "price_jumped": "Kraken's mid moved too far too fast; nothing is quoted until the new level is confirmed",
        "price_settled": "the mid's new level is confirmed",
        "peg_broken": "EURe is not worth what is assumed; nothing is quoted",
        "peg_healed": "EURe is worth what is assumed again",
    },
    state=ReferenceState,
)
