"""Bad input gets one line that says what was wrong, where, and what to do; never a traceback."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli import SOURCE, run_unrip
from support.ports import free_ports
from unrip.local.keys import ensure_signing_key
from unrip.net.secret_file import write_secret

ACCOUNT = "0" * 64


def config(folder: Path, text: str) -> str:
    """Write a settings file with its tokens in the same folder."""
    path = folder / "desk.toml"
    control = f'[control]\nread_token_file = "{folder}/read.token"\noperator_token_file = "{folder}/operator.token"\n'
    path.write_text(text + control)
    return str(path)


def one_line(told: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert told.returncode == code, told.stderr
    lines = told.stderr.strip().splitlines()
    assert len(lines) == 1, told.stderr
    assert lines[0].startswith("unrip: ")
    for part in parts:
        assert part in lines[0], lines[0]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[kafka]\nbootstra = 'x'\n", ("kafka.bootstra", "is not a setting")),
        ("[limits]\nedge_threshold = 30\n", ("limits.edge_threshold", "needs its unit", "'30 %'")),
        ("[limits]\nnotional_cap_eur = -1\n", ("limits.notional_cap_eur", "greater than 0")),
        ("[ports]\nstrategy_engine = 99999\n", ("ports.strategy_engine", "65535")),
        ("not toml at all\n", ("not TOML",)),
    ],
)
def test_wrong_or_unknown_settings(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    path = tmp_path / "desk.toml"
    path.write_text(text)
    one_line(run_unrip("config", "check", "--config", str(path)), 2, "desk.toml", *parts)


def test_unknown_variable(tmp_path: Path) -> None:
    told = run_unrip("config", "check", cwd=tmp_path, UNRIP_KAFKAA__BOOTSTRAP="x")
    one_line(told, 2, "UNRIP_KAFKAA__BOOTSTRAP", "kafka")


def test_missing_settings_file(tmp_path: Path) -> None:
    told = run_unrip("config", "show", "--config", str(tmp_path / "none.toml"))
    one_line(told, 2, "none.toml", "No such file")


@pytest.mark.parametrize("arguments", [["notional_cap_eur", "-r", "why"], ["notional_cap_eur=1"]])
def test_a_change_of_limits_that_is_half_written(tmp_path: Path, arguments: list[str]) -> None:
    told = run_unrip("limits", *arguments, cwd=tmp_path)
    assert (told.returncode, told.stderr) == (2, "unrip: write unrip limits NAME=VALUE -r REASON\n")


def test_unknown_service() -> None:
    one_line(run_unrip("run", "strategy"), 2, "no service 'strategy'", "strategy-engine")


def executor_config(folder: Path, key_file: Path) -> str:
    return config(
        folder,
        f'[postgres]\nurl = "postgresql://x@127.0.0.1:1/x"\n'
        f'[near_intents]\naccount = "{ACCOUNT}"\nkey_file = "{key_file}"\n',
    )


def test_missing_key_file(tmp_path: Path) -> None:
    told = run_unrip("run", "trade-executor", "--config", executor_config(tmp_path, tmp_path / "desk.key"))
    one_line(told, 2, "desk.key", "No such file")


def test_key_file_open_to_others(tmp_path: Path) -> None:
    key = tmp_path / "desk.key"
    ensure_signing_key(key)
    secret = key.read_text().strip()
    key.chmod(0o644)
    told = run_unrip("run", "trade-executor", "--config", executor_config(tmp_path, key))
    one_line(told, 2, "desk.key", "open to", "chmod 600")
    assert secret not in told.stderr + told.stdout


def test_key_of_another_account(tmp_path: Path) -> None:
    key = tmp_path / "desk.key"
    ensure_signing_key(key)
    one_line(
        run_unrip("run", "trade-executor", "--config", executor_config(tmp_path, key)),
        2,
        "desk.key",
        "the account needs",
    )


@pytest.mark.parametrize("service", ["near-intents-ingest", "trade-executor"])
def test_one_token_where_the_relay_allows_one_connection_per_token(tmp_path: Path, service: str) -> None:
    key = tmp_path / "desk.key"
    account = ensure_signing_key(key)
    for name in ("ingest.token", "executor.token"):
        write_secret(tmp_path / name, "same-secret\n")
    text = (
        f'[postgres]\nurl = "postgresql://x@127.0.0.1:1/x"\n'
        f'[near_intents]\naccount = "{account}"\nkey_file = "{key}"\none_connection_per_token = true\n'
        f'ingest_token_file = "{tmp_path}/ingest.token"\nexecutor_token_file = "{tmp_path}/executor.token"\n'
    )
    told = run_unrip("run", service, "--config", config(tmp_path, text))
    one_line(told, 2, "ingest.token", "executor.token", "hold the same token")
    assert "secret" not in told.stderr + told.stdout


def test_busy_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f'[near_intents]\naccount = "{ACCOUNT}"\n[ports]\nmarket_reference_ingest = {port}\n'
        told = run_unrip("run", "market-reference-ingest", "--config", config(tmp_path, text))
    one_line(told, 2, str(port), "busy", "[ports] market_reference_ingest")


def test_unreachable_database(tmp_path: Path) -> None:
    path = config(tmp_path, '[postgres]\nurl = "postgresql://owner:secret@127.0.0.1:1/x"\n')
    told = run_unrip("explain", "0000", "--config", path)
    one_line(told, 3, "PostgreSQL does not answer")
    assert "secret" not in told.stderr


#: An unescaped character in the password, or none that can be read at all; both drivers quote some of it.
MALFORMED_URLS = {
    "a hash": "postgresql://unrip:Tr0ub4dor#3@127.0.0.1:1/x",
    "a slash": "postgresql://unrip:Tr0ub4dor/3@127.0.0.1:1/x",
    "a question mark": "postgresql://unrip:Tr0ub4dor?3@127.0.0.1:1/x",
    "digits and a slash": "postgresql://unrip:60942/Tr0ub4dor@127.0.0.1:1/x",
    "an at sign": "postgresql://unrip:Tr0u@b4dor@127.0.0.1:1/x",
    "a percent sign": "postgresql://unrip:Tr0%zzub4dor@127.0.0.1:1/x",
    "an escaped NUL": "postgresql://unrip:Tr0ub4dor%00@127.0.0.1:1/x",
    "a bracket": "postgresql://unrip:Tr0ub4dor[@127.0.0.1:1/x",
    "a character that is more than one": "postgresql://unrip:Tr0ub4dor\u2100@127.0.0.1:1/x",
    "a blank": "postgresql://unrip:Tr0ub4dor 3@127.0.0.1:1/x",
    "no scheme": "unrip:Tr0ub4dor@127.0.0.1/x",
    "another scheme": "mysql://unrip:Tr0ub4dor@127.0.0.1/x",
    "a port that is none": "postgresql://unrip@127.0.0.1:Tr0ub4dor/x",
    "a query that is none": "postgresql://unrip@127.0.0.1:1/x?Tr0ub4dor",
}


def no_part_of_the_secret(text: str) -> None:
    for part in ("Tr0", "ub4", "b4dor", "60942"):
        assert part not in text


@pytest.mark.parametrize("name", MALFORMED_URLS)
def test_a_malformed_database_url_is_not_repeated(tmp_path: Path, name: str) -> None:
    told = run_unrip("prepare", cwd=tmp_path, UNRIP_POSTGRES__URL=MALFORMED_URLS[name])
    one_line(told, 2, "UNRIP_POSTGRES__URL", "the database URL cannot be read", "/ ? # [ ] @ %", "%40 for @")
    no_part_of_the_secret(told.stderr + told.stdout)


@pytest.mark.parametrize(
    "arguments", [["prepare"], ["up"], ["run", "trade-executor"], ["run", "strategy-engine"], ["explain", "0000"]]
)
def test_no_command_repeats_a_malformed_database_url(tmp_path: Path, arguments: list[str]) -> None:
    write_secret(tmp_path / "url", MALFORMED_URLS["a slash"] + "\n")
    key = tmp_path / "desk.key"
    text = (
        f'[postgres]\nurl_file = "{tmp_path}/url"\n'
        f'[near_intents]\naccount = "{ensure_signing_key(key)}"\nkey_file = "{key}"\n'
    )
    told = run_unrip(*arguments, "--config", config(tmp_path, text), cwd=tmp_path)
    one_line(told, 2, "[postgres] url_file", "the database URL cannot be read")
    no_part_of_the_secret(told.stderr + told.stdout)


def test_an_option_that_cannot_be_used_is_not_repeated(tmp_path: Path) -> None:
    url = "postgresql://unrip@127.0.0.1:1/x?sslmode=Tr0ub4dor"
    for arguments in (["prepare"], ["explain", "0000"]):
        told = run_unrip(*arguments, cwd=tmp_path, UNRIP_POSTGRES__URL=url)
        one_line(told, 2, "UNRIP_POSTGRES__URL", "do not know an option in it, or its value")
        no_part_of_the_secret(told.stderr + told.stdout)


def test_unreachable_broker(tmp_path: Path) -> None:
    told = run_unrip("tail", "--config", config(tmp_path, '[kafka]\nbootstrap = "127.0.0.1:1"\n'))
    one_line(told, 3, "127.0.0.1:1", "does not answer")


def test_services_that_do_not_answer(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    path = config(tmp_path, f"[ports]\nstrategy_engine = {port}\n")
    (tmp_path / "read.token").write_text("x\n")
    (tmp_path / "operator.token").write_text("x\n")
    for token in ("read.token", "operator.token"):
        (tmp_path / token).chmod(0o600)
    one_line(
        run_unrip("pause", "strategy-engine", "-r", "test", "--config", path), 3, "strategy-engine", "is it running"
    )
    assert run_unrip("status", "--config", path).returncode == 3


def test_a_service_without_broker_and_database_stays_up_and_says_so_once(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    text = (
        f'[kafka]\nbootstrap = "127.0.0.1:1"\n[postgres]\nurl = "postgresql://x:secret@127.0.0.1:1/x"\n'
        f'[near_intents]\naccount = "{ACCOUNT}"\n[ports]\nstrategy_engine = {port}\n'
    )
    command = [sys.executable, "-m", "unrip", "run", "strategy-engine", "--config", config(tmp_path, text)]
    process = subprocess.Popen(command, env={"PYTHONPATH": str(SOURCE)}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(4)]
        lost = [line for line in seen if '"event": "kafka_lost"' in line or '"event": "postgres_lost"' in line]
        assert len(lost) == 2, seen
        assert not any("secret" in line for line in seen)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
        if process.stdout is not None:
            process.stdout.close()


def test_signing_without_a_usable_key_file(tmp_path: Path) -> None:
    nonce = "Vij2xgAlKBKzADZykFdbpB8CcBXsE9wRhklzE4/mgS8="
    message = tmp_path / "message.json"
    message.write_text("{}")
    told = run_unrip("near", "sign", str(message), "--key-file", str(tmp_path / "none.key"), "--nonce", nonce)
    one_line(told, 2, "none.key", "No such file")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            '[near_intents]\nrelay_ws_url = "https://relay.example/ws"\n',
            ("near_intents.relay_ws_url", "ws:// or wss://"),
        ),
        ('[near_intents]\nrpc_urls = ["https://a.example", "b.example"]\n', ("near_intents.rpc_urls.1", "http://")),
        ('[near_intents]\nbridge_rpc_url = "https://"\n', ("near_intents.bridge_rpc_url", "names no host")),
        ('[kraken]\nrest_url = "https://api.kraken.com:port"\n', ("kraken.rest_url", "ort")),
        ('[coingecko]\napi_url = "ftp://x/y"\n', ("coingecko.api_url", "https://")),
        ('[kafka]\nbootstrap = "::1:9092"\n', ("kafka.bootstrap", "[::1]:9092")),
        ('[postgres]\nurl = "postgresql://u@h/d?sslmode=Tr0ub4dor"\n', ("[postgres] url", "do not know an option")),
        ('[postgres]\nurl = "postgresql://u@h/d?no_option=1"\n', ("[postgres] url", "do not know an option")),
        ('[postgres]\nurl = "postgresql://u@h:1,h:x/d"\n', ("[postgres] url", "host or port is none")),
        ('[postgres]\nurl_file = "/nowhere/url"\n', ("/nowhere/url", "No such file")),
    ],
)
def test_config_check_refuses_what_cannot_be_asked(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    told = run_unrip("config", "check", "--config", config(tmp_path, text))
    one_line(told, 2, *parts)
    no_part_of_the_secret(told.stderr)


def test_config_check_takes_a_database_of_several_hosts_and_addresses_of_either_family(tmp_path: Path) -> None:
    text = (
        '[postgres]\nurl = "postgresql://u:p@a:1,[::1]:2/d?target_session_attrs=read-write"\n'
        '[near_intents]\nrelay_ws_url = "ws://[::1]:1/ws"\nrpc_urls = ["http://[fe80::1]:3030"]\n'
        '[kafka]\nbootstrap = "[::1]:9092,b:9092"\n'
    )
    assert run_unrip("config", "check", "--config", config(tmp_path, text)).returncode == 0


def test_an_account_that_is_nothing_signs_nothing(tmp_path: Path) -> None:
    key, message = tmp_path / "desk.key", tmp_path / "intents.json"
    ensure_signing_key(key)
    message.write_text("[]")
    told = run_unrip(
        "near", "sign", str(message), "--key-file", str(key), "--nonce", "Vij2xgAlKBKzADZykFdbpB8CcBXsE9wRhklzE4/mgS8=",
        "--deadline", "2030-01-01T00:00:00Z", "--signer", "",
    )  # fmt: skip
    one_line(told, 2, "account")


def test_a_server_that_does_not_answer_is_told_with_the_setting_that_names_it(tmp_path: Path) -> None:
    url = "postgresql://unrip:Tr0ub4dor@127.0.0.1:1/x"
    told = run_unrip("explain", "0000", cwd=tmp_path, UNRIP_POSTGRES__URL=url)
    one_line(told, 3, "PostgreSQL does not answer", "[postgres] url_file or UNRIP_POSTGRES__URL")
    no_part_of_the_secret(told.stderr)
