"""market-reference-ingest, wired."""

from __future__ import annotations

from unrip.feeds.coingecko import CoinGecko
from unrip.feeds.kraken import KrakenRest
from unrip.frame.wiring import Context, Wiring
from unrip.net.events import CloseSocket, SendFrame
from unrip.services.market_reference_ingest.effects import PollCoinGecko, PollKrakenRest
from unrip.services.market_reference_ingest.handlers import Polls
from unrip.services.market_reference_ingest.jump import JumpGuard
from unrip.services.market_reference_ingest.logic import KRAKEN, MarketReferenceIngest
from unrip.services.market_reference_ingest.peg import PegGuard
from unrip.services.market_reference_ingest.settings import CoinGeckoSettings, KrakenSettings, PriceSettings


def wire(context: Context) -> Wiring:
    """Kraken and CoinGecko in, prices out."""
    settings = context.settings
    kraken, coingecko = settings.section(KrakenSettings), settings.section(CoinGeckoSettings)
    price = settings.section(PriceSettings)
    kraken_http = context.http("kraken_rest")
    coingecko_http = context.http("coingecko")
    polls = Polls(
        KrakenRest(kraken_http, kraken.rest_url, pair=kraken.rest_pair, clock=context.clock),
        CoinGecko(
            coingecko_http,
            coingecko.api_url,
            key_file=coingecko.key_file,
            base_id=coingecko.base_id,
            quote_id=coingecko.quote_id,
            clock=context.clock,
        ),
        ask=context.ask,
    )
    socket = context.socket(
        name=KRAKEN,
        url=kraken.ws_url,
        headers=dict,
    )
    return Wiring(
        logic=MarketReferenceIngest(
            pair=context.pair,
            symbol=kraken.ws_symbol,
            quote_asset_eur=settings.pair.quote_asset_eur,
            kraken_age_max_ms=settings.limits.policy().kraken_age_max_ms,
            coingecko_age_max_ms=settings.limits.policy().coingecko_age_max_ms,
            coingecko_interval_s=coingecko.poll_interval_s,
            peg=PegGuard(
                assumed=settings.pair.quote_asset_eur,
                breaks_beyond=price.peg_breaks_beyond,
                heals_within=price.peg_heals_within,
            ),
            jump=JumpGuard(
                limit=price.jump_limit,
                window_s=price.jump_window_s,
                readings_min=price.jump_readings_min,
            ),
            policy=settings.limits.policy(),
        ),
        handlers={
            SendFrame: socket.send,
            CloseSocket: socket.close,
            PollKrakenRest: polls.poll_kraken,
            PollCoinGecko: polls.poll_coingecko,
        },
        sources=(socket.run,),
    )
