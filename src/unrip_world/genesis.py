"""The ledger's first state, from the settings."""

from collections.abc import Sequence

from unrip_world.assets import Pair
from unrip_world.config import AccountSettings, ConfigError, WorldSettings
from unrip_world.takers.core import Wallet, wallet
from unrip_world.verifier.contract import Genesis
from unrip_world.verifier.fields import salt_in
from unrip_world.verifier.keys import parse_public_key
from unrip_world.verifier.message import check_token_id


def genesis_of(settings: WorldSettings, wallets: Sequence[Wallet]) -> Genesis:
    """Endow the takers and these wallets, and set up the configured accounts; raises ConfigError."""
    endowed = [*wallets, *(wallet(taker.name, seed=settings.seed) for taker in settings.takers)]
    balances = [(who.account_id, token, amount) for who in endowed for token, amount in _endowment(settings.pair)]
    keys = [(who.account_id, who.public_key) for who in endowed]
    for account in settings.accounts:
        keys += [(account.account_id, _checked_key(account, key)) for key in account.public_keys]
        balances += _checked_balances(account)
    verifier = settings.verifier
    try:
        salt = salt_in(verifier.salt)
    except ValueError as error:
        raise ConfigError(f"verifier.salt: {error}") from error
    return Genesis(
        fee_pips=verifier.fee_pips,
        fee_collector=verifier.fee_collector,
        salt=salt,
        public_keys=tuple(keys),
        balances=tuple(balances),
    )


def _endowment(pair: Pair) -> list[tuple[str, int]]:
    """What every taker has: far beyond what one spends in a long run."""
    return [(asset.token_id, whole * 10**asset.decimals) for asset, whole in ((pair.base, 10_000), (pair.quote, 10**9))]


def _checked_key(account: AccountSettings, key: str) -> str:
    try:
        return parse_public_key(key).text
    except ValueError as error:
        raise ConfigError(f"accounts[{account.account_id}].public_keys: {key!r}: {error}") from error


def _checked_balances(account: AccountSettings) -> list[tuple[str, str, int]]:
    try:
        return [(account.account_id, check_token_id(token), int(text)) for token, text in account.balances.items()]
    except ValueError as error:
        raise ConfigError(f"accounts[{account.account_id}].balances: {error}") from error
