"""CoinGecko's averages as a second opinion on BTC/EUR and on the wrapper's peg (sources/coingecko)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from unrip.domain.market import SecondReading
from unrip.net.exact import NotExact, epoch_seconds, mapping, positive
from unrip.net.http import HttpClient, HttpError, HttpUnavailable
from unrip.net.secret_file import SecretFileError, read_secret

#: The host that takes paid keys, and the header of each kind of key (section 4).
_PAID_HOST = "pro-api."
_DEMO_HEADER = "x-cg-demo-api-key"
_PAID_HEADER = "x-cg-pro-api-key"
#: How long to wait after a rate limit that gives no time.
RATE_LIMIT_PAUSE_S = 60
_RATE_LIMITED = 429
#: How far ahead of ours a price's time may be: clocks differ by seconds; beyond it is no time of a price (section 6).
_AHEAD_MAX = timedelta(seconds=60)


class CoinGeckoUnavailable(Exception):  # noqa: N818 - an outcome: there is no reading
    """There is no reading; the message gives the reason, without the key."""

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        #: How long asking again is pointless.
        self.retry_after_s = retry_after_s


class CoinGecko:
    """Ask for both coins in one call, which costs one credit."""

    def __init__(
        self,
        client: HttpClient,
        api_url: str,
        *,
        key_file: Path | None,
        base_id: str,
        quote_id: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._api_url = api_url.rstrip("/")
        self._key_file = key_file
        self._base_id = base_id
        self._quote_id = quote_id
        self._clock = clock

    async def read(self) -> SecondReading:
        """The present averages.

        Raises:
            CoinGeckoUnavailable: no answer, an error in any of its three forms, or no price of the base.

        """
        params = {
            "ids": f"{self._base_id},{self._quote_id}",
            "vs_currencies": "eur",
            "include_last_updated_at": "true",
            "precision": "full",
        }
        observed_at = self._clock()
        try:
            document = await self._client.get(f"{self._api_url}/simple/price", params=params, headers=self._headers())
        except HttpError as error:
            raise CoinGeckoUnavailable(_said(error), retry_after_s=_pause_s(error)) from None
        except SecretFileError as error:
            raise CoinGeckoUnavailable(str(error)) from None
        return parse_simple_price(document, base_id=self._base_id, quote_id=self._quote_id, observed_at=observed_at)

    def _headers(self) -> dict[str, str]:
        """The key in a header: a query string ends up in access logs and exception texts (section 4)."""
        if self._key_file is None:
            return {}
        header = _PAID_HEADER if _PAID_HOST in self._api_url else _DEMO_HEADER
        return {header: read_secret(self._key_file)}


def parse_simple_price(document: object, *, base_id: str, quote_id: str, observed_at: datetime) -> SecondReading:
    """The reading in an answer. The wrapper may be missing: an unknown id is left out, not reported (section 2).

    Raises:
        CoinGeckoUnavailable: an error in an answer with status 200, or no usable price of the base.

    """
    said = error_text(document)
    if said is not None:
        raise CoinGeckoUnavailable(f"coingecko: {said}")
    try:
        prices = mapping(document, "the answer")
        base, quote = _coin(prices, base_id, observed_at), _coin(prices, quote_id, observed_at)
    except NotExact as error:
        raise CoinGeckoUnavailable(f"coingecko: {error}") from None
    if base is None:
        raise CoinGeckoUnavailable(f"coingecko: no price of {base_id}")
    return SecondReading(
        base_asset_eur=base[0],
        base_updated_at=base[1],
        quote_asset_eur=quote[0] if quote else None,
        quote_updated_at=quote[1] if quote else None,
        observed_at=observed_at,
    )


def _coin(prices: dict[str, Any], coin_id: str, observed_at: datetime) -> tuple[Decimal, datetime] | None:
    """Price and its own time; None where one of them is missing, since a price without an age is no price."""
    coin = mapping(prices.get(coin_id, {}), coin_id)
    price, stamp = coin.get("eur"), coin.get("last_updated_at")
    if price is None or stamp is None:
        return None
    updated_at = epoch_seconds(stamp)
    if updated_at - observed_at > _AHEAD_MAX:
        raise NotExact(f"{coin_id} was updated at {updated_at.isoformat()}, which is yet to come")
    return positive(price), updated_at


def error_text(document: object) -> str | None:
    """The text of an error in any of the three forms that are in use (section 8), None when there is none."""
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if isinstance(error, str):
        return error[:200]
    holder = error if isinstance(error, dict) else document
    status = holder.get("status")
    if not isinstance(status, dict) or "error_code" not in status:
        return None
    message = status.get("error_message")
    return message[:200] if isinstance(message, str) else "an error without a text"


def _said(error: HttpError) -> str:
    said = error_text(error.body)
    return f"{error}: {said}" if said else str(error)


def _pause_s(error: HttpError) -> int | None:
    if not isinstance(error, HttpUnavailable) or error.status != _RATE_LIMITED:
        return None
    return error.retry_after_s or RATE_LIMIT_PAUSE_S
