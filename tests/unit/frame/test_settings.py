"""The configuration: what is wrong with it is said in one line, with the place and the remedy."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from unrip.frame.adapters import RealAdapters
from unrip.frame.settings import (
    ControlSettings,
    DeskSettings,
    KafkaSettings,
    LimitSettings,
    PostgresSettings,
    Settings,
    SettingsError,
)
from unrip.messages.topics import TOPICS
from unrip.net.secret_file import write_secret
from unrip.services.settings import DESK_SETTINGS, load_settings
from unrip.store.errors import StoreUnavailable


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("UNRIP_"):
            monkeypatch.delenv(name)


def file_of(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "unrip.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


WRONG_FILES: dict[str, tuple[str | bytes, str]] = {
    "not TOML": ("[limits\n", "is not TOML"),
    "not text": (b"\xff\xfe", "is not TOML"),
    "an unknown section": ("[limit]\nx = 1", "key limit .*is not a setting"),
    "an unknown key": ("[limits]\nnotional_cap = 1", "key limits.notional_cap .*is not a setting"),
    "an unknown key at the top": ("nonsense = 1", "key nonsense .*is not a setting"),
    "two unknown keys": ("[limits]\nx = 1\ny = 2", "and 1 more"),
    "a key that has another name now": (
        "[pair]\neure_eur_assumption = 1",
        r"key pair\.eure_eur_assumption in .*is called pair\.quote_asset_eur now: rename it",
    ),
    "one asset twice": ('[pair.base]\nsymbol = "EURe"', "key pair .*name two assets"),
    "an alias that is the asset": (
        '[pair.base]\naliases = ["nep141:btc.omft.near"]',
        "key pair .*btc.omft.near is named twice: an alias is a token of its own",
    ),
    "a bare rate": ("[limits]\nedge_threshold = 2", "edge_threshold .*write '2 %' or '2 bps'"),
    "a bare fraction": ("[limits]\nedge_threshold = 0.02", "edge_threshold .*needs its unit"),
    "a bare rate in quotes": ('[limits]\nedge_threshold = "0.02"', "edge_threshold .*needs its unit"),
    "a negative rate": ('[limits]\nedge_per_sqrt_minute = "-1 %"', "edge_per_sqrt_minute .*greater than or equal to 0"),
    "a rate that is none": ('[limits]\nedge_base = "NaN %"', "edge_base .*not finite"),
    "a number out of its bounds": ("[limits]\nnotional_cap_eur = 0", "notional_cap_eur .*greater than 0"),
    "a pattern that names one place": (
        '[control]\nurl_pattern = "http://127.0.0.1:8107"',
        "control.url_pattern .*neither {service} nor {port}",
    ),
    "no node": ("[near_intents]\nrpc_urls = []", "rpc_urls .*at least 1"),
    "a node check with one node": (
        '[near_intents]\nrpc_cross_check = true\nrpc_urls = ["http://a", "http://a"]',
        "key near_intents .*needs two different rpc_urls",
    ),
    "one token file for two connections": (
        '[near_intents]\none_connection_per_token = true\ningest_token_file = "a"\nexecutor_token_file = "a"',
        "key near_intents .*must be two files with two tokens; both are a",
    ),
    "no token files for two connections": (
        "[near_intents]\none_connection_per_token = true",
        "key near_intents .*both are not named",
    ),
    "a queue name that is none": ('[near_intents]\ninstance_id = "a b"', "instance_id .*pattern"),
    "a cap above the ceiling": ("[limits]\nnotional_cap_eur = 101", "notional_cap_eur 101 is above .*_ceiling_eur 100"),
    "an edge below the floor": ('[limits]\nedge_base = "0.4 %"', r"edge_base 0.4 % is below edge_floor 0.5 %"),
    "a threshold below the floor": ('[limits]\nedge_floor = "3 %"', "edge_threshold 2 % is below edge_floor 3 %"),
    "a band that holds nothing": (
        "[limits]\nbase_min = 2\nbase_max = 1",
        "key limits .*base_min 2 is above base_max 1",
    ),
    "a bound below nothing": ("[limits]\nquote_min = -1", "quote_min .*greater than or equal to 0"),
    "a peg that heals before it breaks": (
        '[price]\npeg_heals_within = "3 %"',
        "key price .*peg_heals_within is above peg_breaks_beyond",
    ),
    "a jump that never ends": ("[price]\njump_window_s = 19", "key price .*jump_readings_min 10 .*jump_window_s 19"),
    "an assumption of nothing": ("[pair]\nquote_asset_eur = 0", "quote_asset_eur .*greater than 0"),
    "a text for a number": ('[kafka]\nreplication_factor = "three"', "replication_factor .*integer"),
    "a port that does not exist": ("[ports]\nhistory_writer = 70000", "ports.history_writer .*65535"),
    "a value for a section": ("limits = 3", "key limits "),
    "a desk without a name": ('[desk]\nname = ""', "desk.name .*no name of a desk"),
    "a desk with a name that is no part of a topic or a schema": ('[desk]\nname = "my desk"', "desk.name .*'my desk'"),
    "a desk with a name that PostgreSQL keeps": ('[desk]\nname = "pg"', "desk.name .*and not 'pg'"),
    "a desk with a long name": (f'[desk]\nname = "{"a" * 17}"', "desk.name .*1 to 16"),
    "a prefix that no topic can have": ('[kafka]\ntopic_prefix = "a b"', "kafka.topic_prefix .*pattern"),
    "the main desk's topics for another one": (
        '[desk]\nname = "second"\n[kafka]\ntopic_prefix = ""',
        "configuration in .*kafka.topic_prefix and desk.name: .*another desk's.*end with 'second.'",
    ),
    "another desk's topics": ('[kafka]\ntopic_prefix = "second."', "topic_prefix .*'second.'.*end with 'main.'"),
    "topics of a desk whose name ends so": (
        '[desk]\nname = "ond"\n[kafka]\ntopic_prefix = "second."',
        "topic_prefix .*another desk's.*end with 'ond.'",
    ),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path: Path, name: str) -> None:
    content, complaint = WRONG_FILES[name]
    path = file_of(tmp_path, content)
    with pytest.raises(SettingsError, match=complaint) as refused:
        load_settings(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: No such file"):
        load_settings(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="directory"):
        load_settings(tmp_path)


WRONG_VARIABLES = {
    "UNRIP_KAFFKA__BOOTSTRAP": ("x", "variable UNRIP_KAFFKA__BOOTSTRAP: there is no setting 'kaffka'; there are: "),
    "UNRIP_KAFKA__BOOTSTRP": ("x", "kafka.bootstrp in the environment: is not a setting"),
    "UNRIP_KAFKA": ("x", "kafka"),
    "UNRIP_LIMITS__EDGE_THRESHOLD": ("30", "rate '30' needs its unit"),
    "UNRIP_PORTS__TRADE_EXECUTOR": ("-1", "ports.trade_executor"),
}


@pytest.mark.parametrize("name", WRONG_VARIABLES)
def test_a_wrong_variable_is_one_line_that_names_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, complaint = WRONG_VARIABLES[name]
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=complaint) as refused:
        load_settings(None)
    assert "\n" not in str(refused.value)


def test_the_environment_stands_above_the_file_and_the_file_above_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, '[limits]\nedge_base = "3 %"\nedge_threshold = "250 bps"\n[kafka]\nbootstrap = "file:1"')
    monkeypatch.setenv("UNRIP_KAFKA__BOOTSTRAP", "environment:1")
    monkeypatch.setenv("UNRIP_LIMITS__EDGE_BASE", "4 %")
    monkeypatch.setenv("UNRIP_TEST_ANYTHING", "is not ours to judge")
    settings = load_settings(path)
    assert settings.kafka.bootstrap == "environment:1"
    assert (settings.limits.policy().edge_base, settings.limits.policy().edge_threshold) == (
        Decimal("0.04"),
        Decimal("0.025"),
    )
    assert settings.limits.policy().notional_cap_eur == 25
    assert settings.limits.policy().edge_base == Decimal("0.04")


def test_a_list_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRIP_NEAR_INTENTS__RPC_URLS", '["http://a", "http://b"]')
    monkeypatch.setenv("UNRIP_NEAR_INTENTS__RPC_CROSS_CHECK", "true")
    assert load_settings(None).near_intents.rpc_urls == ("http://a", "http://b")


def test_the_defaults_are_those_of_a_first_live_attempt() -> None:
    settings = load_settings(None)
    assert settings.limits.policy().edge_threshold == Decimal("0.02")
    assert settings.limits.policy().notional_cap_eur == 25
    assert settings.control.bind_host == "127.0.0.1"
    assert settings.port_of("trade-executor") == 8107


@pytest.mark.parametrize(
    ("bind_host", "url_pattern", "url"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8107"),
        ("0.0.0.0", None, "http://127.0.0.1:8107"),
        ("::", None, "http://[::1]:8107"),
        ("0.0.0.0", "http://{service}:{port}", "http://trade-executor:8107"),
        ("10.1.2.3", "http://{service}.desk.svc", "http://trade-executor.desk.svc"),
    ],
)
def test_a_service_is_asked_where_the_pattern_says_and_without_one_on_this_machine(
    bind_host: str, url_pattern: str | None, url: str
) -> None:
    control = ControlSettings(bind_host=bind_host, url_pattern=url_pattern)
    assert DESK_SETTINGS(control=control).url_of("trade-executor") == url


def test_the_other_tokens_of_a_coin_are_named(tmp_path: Path) -> None:
    named = file_of(tmp_path, '[pair.base]\naliases = ["nep141:nbtc.bridge.near"]')
    for path, aliases in ((None, ()), (named, ("nep141:nbtc.bridge.near",))):
        pair = load_settings(path).pair.pair()
        assert (pair.base.aliases, pair.quote.aliases) == (aliases, ())


def test_every_limit_of_the_policy_is_a_setting() -> None:
    assert set(LimitSettings.model_fields) == set(LimitSettings().policy().__struct_fields__)


def test_the_configuration_is_named_by_a_stable_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_settings(None).configuration_hash
    assert load_settings(None).configuration_hash == plain
    monkeypatch.setenv("UNRIP_LIMITS__NOTIONAL_CAP_EUR", "26")
    assert load_settings(None).configuration_hash != plain


def test_no_password_is_in_hash_or_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_settings(None).configuration_hash
    monkeypatch.setenv("UNRIP_POSTGRES__URL", "postgresql://desk:hunter2@127.0.0.1/unrip")
    settings = load_settings(None)
    assert settings.postgres_url().endswith("/unrip")
    assert settings.configuration_hash == plain
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://x",
        "postgres://",
        "postgresql://u:p@h:5432/db?sslmode=require&application_name=a",
        "postgresql:///db?host=/var/run/postgresql",
        "postgresql://u:p%40%23%2F@%2Fvar%2Frun/db",
        "postgresql://u:p@[::1]:5432/db",
        "postgresql://u:p@[fe80::1%25eth0]/db",
        "postgresql://u:p@a:1,b:2/db?target_session_attrs=read-write",
        "postgresql://u:a:b!$&'()*+,;=~^{}|<>\u00e9@h:/db",
    ],
)
def test_a_database_url_that_the_drivers_read_is_taken_as_it_is(url: str) -> None:
    assert Settings(postgres=PostgresSettings(url=url)).postgres_url() == url
    conninfo_to_dict(url)


def test_the_database_url_comes_from_its_file_or_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no database: set \[postgres\] url_file"):
        Settings().postgres_url()
    missing = tmp_path / "url"
    with pytest.raises(SettingsError, match=f"{missing}: No such file"):
        Settings(postgres=PostgresSettings(url_file=missing)).postgres_url()
    missing.write_text("postgresql://x\n")
    missing.chmod(0o640)
    with pytest.raises(SettingsError, match=f"run chmod 600 {missing}"):
        Settings(postgres=PostgresSettings(url_file=missing)).postgres_url()
    missing.chmod(0o600)
    assert Settings(postgres=PostgresSettings(url_file=missing)).postgres_url() == "postgresql://x"


async def test_a_database_url_is_read_again_for_each_session_and_a_file_that_cannot_be_read_ends_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "postgres-url"
    write_secret(file, "postgresql://u:SECRET@127.0.0.1:1/x\n")
    database = RealAdapters(Settings(postgres=PostgresSettings(url_file=file))).database
    with pytest.raises(ConnectionRefusedError):
        await database.open()
    for content in ("SECRET\n", "postgresql://u:SECRET@127.0.0.1:1/x?sslmode=SECRET\n"):
        write_secret(file, content)
        with pytest.raises(StoreUnavailable, match="the database URL cannot be") as caught:
            await database.open()
        assert "SECRET" not in str(caught.value)
    file.unlink()
    with pytest.raises(StoreUnavailable, match="postgres-url"):
        await database.open()
    with pytest.raises(SettingsError, match="postgres-url"):
        _ = RealAdapters(Settings(postgres=PostgresSettings(url_file=file))).database


@pytest.mark.parametrize("name", ["UNRIP_LOG_LEVEL", "UNRIP_HOME"])
def test_a_variable_that_does_nothing_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=f"environment variable {name}: there is no setting"):
        load_settings(None)


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,15}", fullmatch=True).filter(lambda name: name != "pg")
PREFIXES = st.one_of(st.none(), st.just(""), st.from_regex(r"([a-z0-9_-]{0,5}\.){0,3}", fullmatch=True), NAMES)


def topics_of(name: str, prefix: str | None) -> set[str] | None:
    """The names at the broker, None where the settings are refused."""
    try:
        settings = Settings(desk=DeskSettings(name=name), kafka=KafkaSettings(topic_prefix=prefix))
    except ValidationError:
        return None
    return {settings.topic_prefix + topic for topic in TOPICS}


@given(one=NAMES, other=NAMES, prefixes=st.tuples(PREFIXES, PREFIXES))
def test_two_desks_never_have_a_topic_in_common(one: str, other: str, prefixes: tuple[str | None, str | None]) -> None:
    ours, theirs = topics_of(one, prefixes[0]), topics_of(other, prefixes[1])
    assert one == other or ours is None or theirs is None or not ours & theirs


@pytest.mark.parametrize(
    ("name", "given_prefix", "prefix"),
    [
        ("main", None, ""),
        ("main", "", ""),
        ("main", "team.main.", "team.main."),
        ("second", None, "second."),
        ("second", "second.", "second."),
        ("second", "team-7.second.", "team-7.second."),
    ],
)
def test_topics_carry_the_name_of_every_desk_but_the_main_one(name: str, given_prefix: str | None, prefix: str) -> None:
    assert topics_of(name, given_prefix) == {prefix + topic for topic in TOPICS}
