"""near-intents-ingest, as it describes itself."""

from __future__ import annotations

from pydantic import Field

from unrip.frame.action import Action, ReasonBody
from unrip.frame.definition import Service
from unrip.messages.topics import RAW_QUOTE, SWAP_DEMAND
from unrip.services.near_intents_ingest.state import IngestState
from unrip.services.relay_link import RELAY_LOGS


class PairFilterBody(ReasonBody):
    """The body of `pair-filter`: which pairs are let through."""

    mode: str = Field(description="`set` (with `pairs`), `disable` (see all, decide none of the others) or `reset`.")
    pairs: list[str] | None = Field(
        default=None,
        description="Configured pairs, such as BTC/EURe; or any two asset ids, joined by a slash, to study.",
    )


SERVICE = Service(
    name="near-intents-ingest",
    does="the relay's quote requests as raw records and normalized demands",
    port=8101,
    wiring="unrip.services.near_intents_ingest.wiring",
    uses=("near_intents", "limits", "intervals"),
    secrets=("near_intents.ingest_token_file",),
    writes=(RAW_QUOTE, SWAP_DEMAND),
    actions=(Action(name="pair-filter", body=PairFilterBody, summary="Set, disable or reset the pair filter."),),
    logs=RELAY_LOGS,
    state=IngestState,
)
