"""The wiring of near-intents-ingest."""

from __future__ import annotations

from unrip.frame.wiring import Context, Wiring
from unrip.net.events import CloseSocket, SendFrame
from unrip.services.near_intents_ingest.logic import NearIntentsIngest
from unrip.services.relay_link import RELAY
from unrip.services.venue import relay_headers_of


def wire(context: Context) -> Wiring:
    """Wire it: frames of the relay in, raw quotes and demands out."""
    settings = context.settings
    socket = context.socket(
        name=RELAY,
        url=settings.near_intents.relay_ws_url,
        headers=relay_headers_of(context, settings.near_intents.ingest_token_file),
    )
    return Wiring(
        logic=NearIntentsIngest(
            pairs=(context.pair,),
            raw_cap_per_s=settings.intervals.raw_cap_per_s,
            mute_after_ms=settings.intervals.mute_after_ms,
            subscribe_again_ms=settings.intervals.subscribe_again_ms,
            clock_ahead_max_ms=settings.limits.policy().clock_ahead_max_ms,
        ),
        handlers={SendFrame: socket.send, CloseSocket: socket.close},
        sources=(socket.run,),
    )
