"""Settings of the world: one TOML file, every key with a default, unknown keys refused."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from unrip_world.assets import Pair

T = TypeVar("T")


class ConfigError(Exception):
    """The configuration cannot be used; the text is one line that names file, key and reason."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Ports(Section, frozen=True):
    """TCP port of each service; 0 picks a free one."""

    relay: int = 0
    rpc: int = 0
    rpc2: int = 0
    bridge: int = 0
    kraken: int = 0
    coingecko: int = 0
    control: int = 0


class RelaySettings(Section, frozen=True):
    """Behaviour of the message bus where the real one is undocumented or changeable."""

    #: `optional`: a known token names its solver, and who has none may trade, too.
    auth: Literal["none", "token", "optional"] = "none"
    #: Solver name -> bearer token. The name identifies the solver in every report.
    tokens: dict[str, str] = {}
    #: TOML file with the same mapping, so that tokens need not stand in this one.
    tokens_file: str | None = None
    envelope: Literal["nested", "flat"] = "nested"
    error_form: Literal["object", "text"] = "object"
    guaranteed_delivery: bool = True
    ack_window_ms: int = 5_000
    #: Whether only a socket that subscribed `quote` may answer.
    answers_from_subscriber_only: bool = False
    one_connection_per_token: bool = False
    #: Whether an answer is refused when the solver's balance does not cover it.
    check_balance: bool = False
    #: When a settlement's notice is sent: as soon as it is visible at this finality.
    status_at: Literal["optimistic", "final"] = "optimistic"


class VerifierSettings(Section, frozen=True):
    """The verifier contract at genesis."""

    contract_id: str = "intents.near"
    fee_pips: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1
    fee_collector: str = "fees.world.near"
    salt: str = "252812b3"


class ChainSettings(Section, frozen=True):
    """Blocks and finality."""

    block_ms: int = 600
    final_lag_blocks: int = 2
    genesis_height: int = 180_000_000
    #: How many heights can still be read.
    keep_blocks: int = 4_000
    #: Whether a failing view is answered as a structured top-level error instead of inside `result`.
    structured_view_errors: bool = False


class MarketSettings(Section, frozen=True):
    """The random walk of the base in EUR that all prices follow."""

    #: Of the base, whichever it is.
    start_eur_per_btc: Decimal = Decimal(71_000)
    annual_volatility: Decimal = Decimal("0.45")
    spread_eur: Decimal = Decimal("0.1")
    tick_ms: int = 250
    #: Share of ticks with a trade.
    trade_share: Decimal = Decimal("0.2")
    coingecko_every_s: Decimal = Decimal(10)
    #: Standard deviation of CoinGecko's EURe reading around 1 EUR.
    eure_noise: Decimal = Decimal("0.0004")


class BridgeSettings(Section, frozen=True):
    """The deposit and withdrawal service."""

    #: Seconds until a deposit is credited by itself; none waits for the control command.
    credit_after_s: Decimal | None = None
    withdraw_after_s: Decimal = Decimal(5)


class AccountSettings(Section, frozen=True):
    """An account of the verifier at genesis, for example a solver's."""

    account_id: str
    public_keys: list[str] = []
    #: Token id -> amount in smallest units.
    balances: dict[str, str] = {}


class TakerSettings(Section, frozen=True):
    """A taker who asks again and again; sizes are log-normal in EUR."""

    name: str
    direction: Literal["btc_to_eure", "eure_to_btc", "base_to_quote", "quote_to_base"]
    every_s: Decimal = Decimal(5)
    median_eur: Decimal = Decimal(20)
    sigma: Decimal = Decimal("0.5")
    max_eur: Decimal = Decimal(200)
    exact_out_share: Decimal = Decimal("0.2")
    #: How much worse than fair value an offer may be, in percent.
    limit_pct: Decimal = Decimal("3.5")
    min_wait_ms: int = 1_000
    max_wait_ms: int = 3_000
    min_deadline_ms: int = 60_000
    partner_id: str = "1click"


DEFAULT_TAKERS = (
    TakerSettings(name="alice", direction="btc_to_eure"),
    TakerSettings(name="bob", direction="eure_to_btc"),
)


class WorldSettings(Section, frozen=True):
    """The whole file."""

    seed: int = 1
    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    ready_file: str | None = None
    faults_file: str | None = None
    #: Where the world remembers itself, so that the next start goes on where this one ends; none forgets everything.
    memory_file: str | None = None
    ports: Ports = Ports()
    relay: RelaySettings = RelaySettings()
    verifier: VerifierSettings = VerifierSettings()
    chain: ChainSettings = ChainSettings()
    pair: Pair = Pair()
    market: MarketSettings = MarketSettings()
    bridge: BridgeSettings = BridgeSettings()
    accounts: list[AccountSettings] = []
    takers: tuple[TakerSettings, ...] = DEFAULT_TAKERS


class Script(Section, frozen=True):
    """A script: faults and demands, each with the second of the world's life at which it begins."""

    faults: list[dict[str, Any]] = []
    demands: list[dict[str, Any]] = []


def load_settings(path: Path | None) -> WorldSettings:
    """Read the settings, or the defaults without a file; raises ConfigError."""
    if path is None:
        return WorldSettings()
    settings = _read(path, WorldSettings)
    relay = settings.relay
    if relay.tokens_file is not None:
        tokens = relay.tokens | _read(path.parent / relay.tokens_file, dict[str, str])
        relay = msgspec.structs.replace(relay, tokens=tokens)
        settings = msgspec.structs.replace(settings, relay=relay)
    if relay.auth != "none" and not relay.tokens:
        raise ConfigError(f"{path}: relay.auth is {relay.auth!r} but relay.tokens and relay.tokens_file name none")
    return settings


def load_script(path: Path) -> Script:
    """Read a script; raises ConfigError. Its tables themselves are checked when the world starts."""
    return _read(path, Script)


def _read(path: Path, shape: type[T]) -> T:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return msgspec.convert(tomllib.loads(text, parse_float=Decimal), shape)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
