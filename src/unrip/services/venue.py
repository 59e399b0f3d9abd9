"""The clients of NEAR Intents as several services wire them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from unrip.frame.settings import SettingsError
from unrip.frame.wiring import Context
from unrip.net.http import TOTAL_TIMEOUT_S, HttpClient
from unrip.venues.near_intents.access import bearer_headers, hold_one_token
from unrip.venues.near_intents.bridge import Bridge
from unrip.venues.near_intents.endpoints import Endpoints
from unrip.venues.near_intents.keys import ed25519_text
from unrip.venues.near_intents.rpc import NearRpc
from unrip.venues.near_intents.verifier import Verifier

_IMPLICIT = re.compile(r"[0-9a-f]{64}")


def account_of(context: Context) -> str:
    """Our account in the verifier.

    Raises:
        SettingsError: none is named.

    """
    account = context.settings.near_intents.account
    if not account:
        raise SettingsError("no account: set [near_intents] account")
    return account


def public_key_of(context: Context) -> str:
    """The key that must be registered for the account: named, or the one that an implicit account is made of.

    Raises:
        SettingsError: a named account without a named key.

    """
    account, named = account_of(context), context.settings.near_intents.public_key
    if named is not None:
        return named
    if _IMPLICIT.fullmatch(account):
        return ed25519_text(bytes.fromhex(account))
    raise SettingsError(f"account {account} is not implicit: set [near_intents] public_key to its registered key")


def relay_headers_of(context: Context, token_file: Path | None) -> Callable[[], dict[str, str]]:
    """The headers of a connection to the relay.

    Raises:
        SettingsError: the relay allows one connection per token, and there is one token for both connections.

    """
    venue = context.settings.near_intents
    files = venue.ingest_token_file, venue.executor_token_file
    if venue.one_connection_per_token and hold_one_token(*files):
        raise SettingsError(
            f"[near_intents] one_connection_per_token: {files[0]} and {files[1]} hold the same token; "
            "put a token of its own into each"
        )
    return bearer_headers(token_file)


def rpc_client_of(context: Context) -> HttpClient:
    """The client for the NEAR endpoints: where there are several, a hanging one leaves time for the next."""
    several = len(context.settings.near_intents.rpc_urls) > 1
    patience_s = TOTAL_TIMEOUT_S / 2 if several else TOTAL_TIMEOUT_S
    return context.http("near_rpc", total_timeout_s=patience_s)


def verifier_of(context: Context, http: HttpClient, *, public_key: str, asset_ids: Iterable[str]) -> Verifier:
    """The verifier, asked about our account and its balances of these tokens."""
    venue = context.settings.near_intents
    return Verifier(
        Endpoints(
            [NearRpc(http, url, name=str(place)) for place, url in enumerate(venue.rpc_urls, start=1)],
            clock=context.clock,
            count=context.metrics.count,
        ),
        contract=venue.verifier_contract,
        account=account_of(context),
        public_key=public_key,
        asset_ids=list(asset_ids),
        clock=context.clock,
        cross_check=venue.rpc_cross_check,
    )


def bridge_of(context: Context, http: HttpClient) -> Bridge:
    """The bridge, asked about our account."""
    return Bridge(http, context.settings.near_intents.bridge_rpc_url, account=account_of(context))


def chains_of(context: Context) -> tuple[str, ...]:
    """The bridge's names of the chains that our assets come from, each once: what is read twice would count twice."""
    return tuple(dict.fromkeys(asset.chain for asset in context.pair.assets()))
