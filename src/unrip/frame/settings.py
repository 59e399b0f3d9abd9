"""The configuration: one typed file plus environment, unknown keys refused, units in names.

`UNRIP_KAFKA__BOOTSTRAP=…` in the environment overrides `bootstrap` under `[kafka]` in the file. Secrets are files; the
settings only name them.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableVariable

from unrip.domain.desk_name import MAIN_DESK, checked_desk_name, prefix_of, topic_prefix_fault
from unrip.domain.limits import Declared, limits_of
from unrip.domain.pairs import Asset, Pair
from unrip.domain.policy import Policy
from unrip.domain.values import format_rate, parse_rate
from unrip.net.address import authority_of_listener, checked_bootstrap, checked_pattern, checked_url, filled
from unrip.net.secret_file import SecretFileError, read_secret
from unrip.store.url import REMEDY, fault_of

#: Variables with our prefix that are not settings.
_NOT_SETTINGS = frozenset({"UNRIP_CONFIG"})
_NOT_SETTINGS_PREFIX = "UNRIP_TEST_"

Rate = Annotated[
    Decimal,
    BeforeValidator(lambda v: parse_rate(v) if isinstance(v, str) else _no_bare_rate(v)),
    Field(ge=0),
    PlainSerializer(format_rate),
]


OneSection = TypeVar("OneSection", bound="Section")


class SettingsError(Exception):
    """The configuration cannot be used; the message names file, key and remedy."""


def _no_bare_rate(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    raise ValueError(f"a rate needs its unit: write '{value} %' or '{value} bps' in quotes")


@dataclass(frozen=True)
class OfOutside:
    """Marks a URL that leads out of the desk: to a venue, a source or a chain."""


WsUrl = Annotated[str, AfterValidator(checked_url("ws", "wss")), OfOutside()]
HttpUrl = Annotated[str, AfterValidator(checked_url("http", "https")), OfOutside()]


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DeskSettings(Section):
    """What distinguishes this desk from others on the same Kafka and PostgreSQL."""

    #: 1 to 16 small letters and digits, chosen once: topics, schemas, locks and files of every desk but `main` carry
    #: it, so that under another name a desk finds nothing of its own.
    name: Annotated[str, AfterValidator(checked_desk_name)] = MAIN_DESK


class AssetSettings(Section):
    """A token in the verifier."""

    #: What people call it; the pair is named by its two symbols.
    symbol: str
    #: Its id in the verifier.
    asset_id: str
    #: Smallest units per whole: 10 ** decimals.
    decimals: int = Field(ge=0, le=36)
    #: The bridge's name of the chain it is deposited from.
    chain: str
    #: Ids of other tokens that stand for the same coin: a deposit may be credited as one of them, as Bitcoin is as
    #: `nep141:nbtc.bridge.near`. Their balances are shown, and never counted or traded as this asset.
    aliases: tuple[str, ...] = ()

    def asset(self) -> Asset:
        """The domain's view of it."""
        return Asset(
            symbol=self.symbol,
            asset_id=self.asset_id,
            decimals=self.decimals,
            chain=self.chain,
            aliases=self.aliases,
        )


class PairSettings(Section):
    """The pair the desk trades."""

    #: What is priced.
    base: AssetSettings = AssetSettings(symbol="BTC", asset_id="nep141:btc.omft.near", decimals=8, chain="btc:mainnet")
    #: What it is priced in.
    quote: AssetSettings = AssetSettings(
        symbol="EURe",
        asset_id="nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near",
        decimals=18,
        chain="eth:100",
    )
    #: R5: the explicit assumption that one EURe is worth this many EUR; every decision records it.
    quote_asset_eur: Decimal = Field(default=Decimal(1), gt=0)

    @model_validator(mode="after")
    def _two_assets(self) -> Self:
        """What is told apart by symbol or id must differ in it."""
        if self.base.asset_id == self.quote.asset_id or self.base.symbol == self.quote.symbol:
            raise ValueError(f"base and quote are both {self.base.symbol} ({self.base.asset_id}): name two assets")
        ids = [each for asset in self.pair().assets() for each in (asset.asset_id, *asset.aliases)]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"{', '.join(twice)} is named twice: an alias is a token of its own")
        return self

    def pair(self) -> Pair:
        """The domain's view of it."""
        return Pair(base=self.base.asset(), quote=self.quote.asset())


class KafkaSettings(Section):
    """The broker."""

    #: Host and port, or several separated by commas.
    bootstrap: Annotated[str, AfterValidator(checked_bootstrap)] = "127.0.0.1:9092"
    #: How long a record may stay unacknowledged before it counts as failed.
    delivery_timeout_ms: int = Field(default=10_000, ge=1_000)
    #: The replication factor of topics that are created here; existing ones are left alone.
    replication_factor: int = Field(default=1, ge=1)
    #: What the names of the desk's topics begin with at the broker; it must end with the desk's name and a dot. Unset:
    #: exactly that, and nothing for the desk `main`.
    topic_prefix: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{0,100}$")


class PostgresSettings(Section):
    """The database. The URL may hold a password, so it comes from a file or from the environment."""

    #: The URL; set it in the environment as `UNRIP_POSTGRES__URL`, since a file of settings is not kept secret.
    url: str | None = Field(default=None, repr=False)
    #: A file that holds nothing but the URL.
    url_file: Path | None = None
    #: Bound of every statement of the ledger: the hot path waits for nothing longer.
    statement_timeout_ms: int = Field(default=2_000, ge=100)


class NearIntentsSettings(Section):
    """The venue."""

    #: Our account in the verifier.
    account: str = ""
    #: The key that is registered for a named account; an implicit account is its own key.
    public_key: str | None = None
    #: The solver relay, where quotes come from and answers go to.
    relay_ws_url: WsUrl = "wss://solver-relay-v2.chaindefuser.com/ws"
    #: The relay's JSON-RPC over HTTP, where revocations of live offers go; the executor's token opens it.
    relay_rpc_url: HttpUrl = "https://solver-relay-v2.chaindefuser.com/rpc"
    #: A bearer token for the ingest's connection. Empty: no credentials.
    ingest_token_file: Path | None = None
    #: The bearer token for the executor's connection; it may be the same file where the relay allows it.
    executor_token_file: Path | None = None
    #: Whether the relay allows one connection per token: ingest and executor then need two different ones.
    one_connection_per_token: bool = False
    #: The executor's socket subscribes quotes too, for a relay that takes answers only from a subscribing socket.
    executor_subscribes_quotes: bool = True
    #: The name of the executor's queue of guaranteed settlement notices; keep it for ever, a new name is a new, empty
    #: queue. The name of every desk but `main` is put before it. Unset: the plain stream, whose notices are lost while
    #: disconnected.
    instance_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    #: NEAR JSON-RPC nodes in the order of preference: one that gives no usable answer, or whose final block lags, is
    #: passed over for a minute. They must track all shards for a fill's transaction to be read. The default ones are
    #: public and promise nothing; name your own.
    rpc_urls: tuple[HttpUrl, ...] = Field(
        default=("https://free.rpc.fastnear.com", "https://near.lava.build"), min_length=1
    )
    #: A reading of the verifier counts only if two nodes give the same one of the same block.
    rpc_cross_check: bool = False
    #: The contract that holds all balances and settles offers.
    verifier_contract: str = "intents.near"
    #: The bridge's deposit and withdrawal service.
    bridge_rpc_url: HttpUrl = "https://bridge.chaindefuser.com/rpc"
    #: The signing key in NEAR's `ed25519:` form, readable by its owner only.
    key_file: Path | None = None

    @model_validator(mode="after")
    def _a_token_for_each_connection(self) -> Self:
        if self.one_connection_per_token and self.ingest_token_file == self.executor_token_file:
            named = self.ingest_token_file or "not named"
            raise ValueError(
                f"one_connection_per_token: ingest_token_file and executor_token_file must be two files with two "
                f"tokens; both are {named}"
            )
        return self

    @model_validator(mode="after")
    def _two_nodes_for_a_cross_check(self) -> Self:
        if self.rpc_cross_check and len(set(self.rpc_urls)) < 2:
            raise ValueError("rpc_cross_check needs two different rpc_urls")
        return self


def _setting_of(declared: Declared) -> tuple[Any, Any]:
    """The type and the default of a limit, as a model is made of them."""
    kind = Rate if declared.limit.rate else declared.type
    field = Field(default=declared.default, gt=declared.limit.above, ge=declared.limit.least)
    return (kind | None if declared.band else kind, field)


if TYPE_CHECKING:
    _DeclaredLimits = Section
else:
    _DeclaredLimits = create_model(
        "_DeclaredLimits",
        __base__=Section,
        **{declared.name: _setting_of(declared) for declared in limits_of(Policy)},
    )


class LimitSettings(_DeclaredLimits):
    """The limits every start begins with; an operator may change them at run time."""

    @model_validator(mode="after")
    def _within_their_own_bounds(self) -> Self:
        """The executor rejects whatever lies beyond the bounds, so a start beyond them could only fail later."""
        if fault := self.policy().beyond("{} {}"):
            raise ValueError(fault)
        return self

    def policy(self) -> Policy:
        """The domain's view of them."""
        return Policy(**{name: getattr(self, name) for name in type(self).model_fields})


class ControlSettings(Section):
    """Who may look at a service and who may act on it."""

    #: The address every control surface listens on.
    bind_host: str = "127.0.0.1"
    #: Where commands and probes ask a service, such as `http://{service}:{port}`: its name and its port are filled in.
    #: Unset: on this machine, at the address that it listens on.
    url_pattern: Annotated[str, AfterValidator(checked_pattern)] | None = None
    #: The token that allows to look. Made at first start, mode 0600.
    read_token_file: Path = Path("var/secrets/read.token")
    #: The token that allows to look and to act. Made at first start, mode 0600.
    operator_token_file: Path = Path("var/secrets/operator.token")
    #: Brakes that could not be recorded while Kafka was away wait here, beside the tokens of leases that survive a
    #: restart.
    spool_dir: Path = Path("var/run/spool")
    #: How long a service must be ready to trade without a break before a surviving lease arms it again.
    rearm_after_s: int = Field(default=30, ge=1)
    #: How long a graceful stop may take; what is not done by then is left to the next start.
    drain_bound_s: int = Field(default=10, ge=1)


class PortSettings(Section):
    """The control port of each service."""


class IntervalSettings(Section):
    """How often things are read."""

    #: How often inventory-sync reads the verifier.
    inventory_ms: int = Field(default=1_000, ge=100)
    #: How often inventory-sync reads the bridge's movements.
    bridge_s: int = Field(default=15, ge=1)
    #: How often liquidity-manager reads the bridge and publishes the treasury.
    treasury_s: int = Field(default=30, ge=1)
    #: How often trade-executor reads the verifier for itself.
    executor_read_ms: int = Field(default=2_000, ge=100)
    #: How often trade-executor compares the ledger's held amounts with its open holds.
    held_check_s: int = Field(default=60, ge=1)
    #: How many raw quotes outside the pair filter are recorded in a second; the others are only counted.
    raw_cap_per_s: int = Field(default=20, ge=0)
    #: How long the relay may be silent before its streams are subscribed again; after twice as long it reconnects.
    mute_after_ms: int = Field(default=60_000, ge=1_000)
    #: How long after it was asked for an unconfirmed stream of the relay is asked for again.
    subscribe_again_ms: int = Field(default=30_000, ge=1_000)
    #: How long a socket must live; a shorter one waits before the next attempt as after one that failed.
    stable_after_ms: int = Field(default=10_000, ge=0)
    #: How long the relay has to reply to an answer; then the outcome is unknown.
    relay_reply_ms: int = Field(default=5_000, ge=100)


class Settings(BaseSettings):
    """Every setting of a service: what all share stands here, and `settings_for` adds ports and own sections."""

    model_config = SettingsConfigDict(
        env_prefix="UNRIP_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    #: The Kubernetes namespace, or `local`: a stable field of every log line.
    namespace: str = "local"
    desk: DeskSettings = DeskSettings()
    pair: PairSettings = PairSettings()
    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    near_intents: NearIntentsSettings = NearIntentsSettings()
    limits: LimitSettings = LimitSettings()
    control: ControlSettings = ControlSettings()
    ports: PortSettings = PortSettings()
    intervals: IntervalSettings = IntervalSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file, and nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    @model_validator(mode="after")
    def _topics_of_its_own(self) -> Self:
        if (fault := topic_prefix_fault(self.topic_prefix, self.desk.name)) is not None:
            raise ValueError(f"kafka.topic_prefix and desk.name: {fault}")
        return self

    @property
    def topic_prefix(self) -> str:
        """What the names of the desk's topics begin with at the broker."""
        given = self.kafka.topic_prefix
        return prefix_of(self.desk.name, ".") if given is None else given

    def kept_file(self, service: str, kind: str) -> Path:
        """A file of this kind that a service of this desk keeps beside it."""
        return self.control.spool_dir / f"{prefix_of(self.desk.name, '.')}{service}.{kind}"

    @property
    def relay_queue(self) -> str | None:
        """The name of the executor's queue at the relay: whoever uses the same name takes notices away from us."""
        given = self.near_intents.instance_id
        return None if given is None else prefix_of(self.desk.name, "-") + given

    @property
    def configuration_hash(self) -> str:
        """Names this configuration in an arm lease; secrets are not in it, only the places they are read from."""
        printable = self.model_dump_json(exclude={"postgres": {"url"}})
        return hashlib.sha256(printable.encode()).hexdigest()

    @property
    def account(self) -> str | None:
        """Whose desk it is: the account in the verifier."""
        return self.near_intents.account or None

    def section(self, kind: type[OneSection]) -> OneSection:
        """The section of a service's own."""
        (found,) = [value for _, value in self if type(value) is kind]
        return found

    def port_of(self, service: str) -> int:
        """The control port of a service."""
        return int(getattr(self.ports, service.replace("-", "_")))

    def url_of(self, service: str) -> str:
        """Where the control surface of a service is asked."""
        port = self.port_of(service)
        if self.control.url_pattern is not None:
            return filled(self.control.url_pattern, service, port)
        return f"http://{authority_of_listener(self.control.bind_host, port)}"

    def postgres_url(self) -> str:
        """The database URL.

        Raises:
            SettingsError: there is none, it is malformed, or its file cannot be read or is open to others.

        """
        source = "[postgres] url, or UNRIP_POSTGRES__URL"
        url = self.postgres.url
        if url is None:
            if self.postgres.url_file is None:
                raise SettingsError("no database: set [postgres] url_file, or UNRIP_POSTGRES__URL in the environment")
            source = "[postgres] url_file"
            url = read_secret_file(self.postgres.url_file, source)
        if (fault := fault_of(url)) is not None:
            raise SettingsError(f"{source}: the database URL cannot be read, {fault}: {REMEDY}")
        return url


def read_secret_file(path: Path, what: str) -> str:
    """The one line of a secret file that the settings name.

    Raises:
        SettingsError: it is missing, empty, open to others, or not one line.

    """
    try:
        return read_secret(path)
    except SecretFileError as error:
        raise SettingsError(f"{what}: {error}") from None


def outside_urls(settings: BaseModel) -> Iterator[str]:
    """Every URL of the settings that leads out of the desk."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from outside_urls(value)
        elif _leads_outside(field.annotation, *field.metadata):
            yield from (value,) if isinstance(value, str) else value


def _leads_outside(annotation: Any, *marks: object) -> bool:
    return OfOutside() in marks or any(_leads_outside(part, part) for part in get_args(annotation))


def read_settings(path: Path | None, kind: type[Settings]) -> Settings:
    """Read the file (if one is given) and the environment; `kind` knows the ports and sections of the services.

    Raises:
        SettingsError: with the file or variable, the key and what is wrong with it, on one line.

    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except OSError as error:
            raise SettingsError(f"configuration file {path}: {error.strerror}") from None
        except ValueError as error:  # not TOML, or not even UTF-8
            raise SettingsError(f"configuration file {path} is not TOML: {error}") from None
    _refuse_unknown_variables(kind)
    try:
        return kind(**values)
    except ValidationError as error:
        raise SettingsError(_one_line(error, path)) from None
    except UnreadableVariable as error:
        raise SettingsError(f"{error}: a whole section is written as JSON, one key as UNRIP_SECTION__KEY") from None


def _refuse_unknown_variables(kind: type[Settings]) -> None:
    """pydantic-settings ignores unknown variables at the top level; a typing error there must not go unnoticed."""
    for name in os.environ:
        if not name.startswith("UNRIP_") or name in _NOT_SETTINGS or name.startswith(_NOT_SETTINGS_PREFIX):
            continue
        section = name.removeprefix("UNRIP_").split("__")[0].lower()
        if section not in kind.model_fields:
            known = ", ".join(sorted(kind.model_fields))
            raise SettingsError(f"environment variable {name}: there is no setting {section!r}; there are: {known}")


#: Settings that have another name now.
_RENAMED = {"pair.eure_eur_assumption": "pair.quote_asset_eur"}


def _one_line(error: ValidationError, path: Path | None) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        name = _RENAMED.get(key)
        what = "is not a setting; remove it or correct its name" if name is None else f"is called {name} now: rename it"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    source = f"{path} or the environment" if path else "the environment"
    return f"configuration {f'key {key} ' if key else ''}in {source}: {what}{more}"
