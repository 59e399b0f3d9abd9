"""The simulated world of `unrip up`: what it holds at its beginning, and how its URLs become settings."""

from __future__ import annotations

import json
import sys
from typing import Any

import tomli_w

from unrip.local.errors import LocalError
from unrip.local.keys import ensure_signing_key, ensure_token
from unrip.local.paths import Home
from unrip.local.ports import answers_yes, asked
from unrip.local.program import Program
from unrip.net.secret_file import write_secret

#: What our account begins with: enough for a day of trades below the default cap, in whole tokens.
_BTC_SATOSHI = "2000000"
_EURE_WEI = "1500" + "0" * 18
#: Both takers ask every few seconds, stay below the default cap of 25 EUR and accept 3.5 % worse than fair, which is
#: more than the desk's default edge of about 2.2 % for an offer of 70 s.
_TAKERS = [
    {"name": "alice", "direction": "btc_to_eure"},
    {"name": "bob", "direction": "eure_to_btc"},
]
_TAKER_HABITS = {"every_s": 4, "median_eur": 12, "sigma": 0.4, "max_eur": 22, "limit_pct": 3.5}


class SimulatedWorld:
    """The world's configuration in a home, its program, and the settings that point the services at it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._config = home.run / "world.toml"
        self._ready_file = home.run / "world-ready.json"

    def prepare(self, *, assets: dict[str, str], overrides: dict[str, Any] | None = None) -> None:
        """Write the configuration: our account with its inventory, our tokens, two takers; overrides add accounts."""
        secrets = self._home.secrets
        account = ensure_signing_key(secrets / "desk.key")
        more = dict(overrides or {})
        tokens = {"desk-ingest": ensure_token(secrets / "relay-ingest.token")}
        tokens["desk-executor"] = ensure_token(secrets / "relay-executor.token")
        write_secret(secrets / "world-tokens.toml", tomli_w.dumps(tokens))
        self._ready_file.unlink(missing_ok=True)
        config: dict[str, Any] = {
            "ready_file": str(self._ready_file),
            "memory_file": str(self._home.world / "world.memory"),
            "relay": {
                "auth": "token",
                "tokens_file": str(secrets / "world-tokens.toml"),
                **more.pop("relay", {}),
            },
            "accounts": [{"account_id": account, "balances": assets}, *more.pop("accounts", [])],
            "takers": [taker | _TAKER_HABITS for taker in _TAKERS],
            **more,
        }
        self._config.write_text(tomli_w.dumps(config))

    def program(self) -> Program:
        """The world as a program: ready once it has written down its URLs and answers."""
        return Program(
            name="world",
            argv=[sys.executable, "-m", "unrip_world", "--config", str(self._config)],
            ready=self._answers,
            priority=200,
            directory=self._home.root,
        )

    def settings(self) -> dict[str, Any]:
        """The settings that make services meet this world instead of the real one; only URLs and secrets differ."""
        urls = self.urls()
        secrets = self._home.secrets
        return {
            "near_intents": {
                "account": ensure_signing_key(secrets / "desk.key"),
                "relay_ws_url": urls["relay_ws"],
                "relay_rpc_url": urls["relay_rpc"],
                "ingest_token_file": str(secrets / "relay-ingest.token"),
                "instance_id": "unrip-up",
                "executor_token_file": str(secrets / "relay-executor.token"),
                "rpc_urls": [urls["near_rpc"]],
                "bridge_rpc_url": urls["bridge"],
                "key_file": str(secrets / "desk.key"),
            },
            # Two takers of up to 22 EUR every four seconds: more than a first live desk lets leave in a minute.
            "spending": {"base_per_minute": "0.02", "quote_per_minute": "1000"},
            "kraken": {"ws_url": urls["kraken_ws"], "rest_url": urls["kraken_rest"]},
            "coingecko": {"api_url": urls["coingecko"]},
        }

    def urls(self) -> dict[str, str]:
        """The URLs of the running world."""
        urls: dict[str, str] = json.loads(self._ready_file.read_text())
        return urls

    def _answers(self) -> bool:
        try:
            urls = self.urls()
        except (OSError, ValueError):
            return False
        return answers_yes(f"{urls['control']}/health")


def faults_in_force(control_url: str) -> list[str]:
    """The faults in force in a running world: a desk that does not trade may only obey one.

    Raises LocalError while it does not answer.
    """
    answer = asked(f"{control_url}/faults")
    if answer is None or not answer.is_success:
        raise LocalError(f"the simulated world does not answer at {control_url}: see its log")
    return sorted(f"{fault['service']}/{fault['kind']}" for fault in answer.json()["faults"])


def default_inventory(base: str, quote: str) -> dict[str, str]:
    """What our account is credited with when the world begins."""
    return {base: _BTC_SATOSHI, quote: _EURE_WEI}
