"""
The simulated world as a test runs it: the real process on free ports, and a small client of its control endpoint.

    with running_world(tmp_path, {"takers": [], "seed": 7}) as world:
        quote_id = world.demand(direction="btc_to_eure", amount_in="100000")
        world.until(lambda: world.get(f"/demands/{quote_id}")["status"] == "settled")
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_ROOT = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0
_CALL_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class WorldClient:
    """A running world: its URLs and its control endpoint."""

    urls: Mapping[str, str]
    http: httpx.Client
    #: None where somebody else runs the world.
    process: subprocess.Popen[bytes] | None = None

    def get(self, path: str, **params: Any) -> Any:
        """Read from the control endpoint."""
        return self._answer(self.http.get(path, params=params))

    def post(self, path: str, **body: Any) -> Any:
        """Write to the control endpoint."""
        return self._answer(self.http.post(path, json=body))

    def delete(self, path: str) -> Any:
        """Delete at the control endpoint."""
        return self._answer(self.http.delete(path))

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        assert response.is_success, f"{response.request.method} {response.request.url}: {response.text}"
        return response.json()

    def demand(self, **body: Any) -> str:
        """Publish a demand; gives its quote id.

        A stranger's, unless a partner is named: repeats of one partner share a nonce, also those of another test.
        """
        return str(self.post("/demands", **{"partner_id": None, **body})["quote_id"])

    def fault(self, service: str, kind: str, **parameters: Any) -> None:
        """Let something go wrong."""
        self.post("/faults", service=service, kind=kind, **parameters)

    def until(self, condition: Callable[[], Any], *, timeout_s: float = 15.0) -> Any:
        """Wait until the condition gives something true, and give that; raises AssertionError after the timeout."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < deadline, f"condition not met within {timeout_s} s"
            time.sleep(0.05)
        return value

    def balance(self, account: str, token_id: str, *, at: str = "head") -> int:
        """Give a ledger balance at `head` or `final`."""
        return int(self.get(f"/accounts/{account}")[at].get(token_id, "0"))

    def nonce_used(self, account: str, nonce: str) -> bool:
        """What a final block says of a nonce."""
        arguments = json.dumps({"account_id": account, "nonce": nonce}).encode()
        question = {
            "request_type": "call_function",
            "finality": "final",
            "account_id": "intents.near",
            "method_name": "is_nonce_used",
            "args_base64": base64.b64encode(arguments).decode(),
        }
        answer: bool = json.loads(bytes(self.near("query", question)["result"]["result"]))
        return answer

    def near(self, method: str, params: Mapping[str, Any] | list[Any]) -> Any:
        """Call NEAR JSON-RPC; gives the whole reply."""
        body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}
        return httpx.post(self.urls["near_rpc"], json=body, timeout=_CALL_TIMEOUT_S).json()


#: Start a world for one test; keyword arguments are sections of its configuration.
StartWorld = Callable[..., WorldClient]


@contextmanager
def running_world(folder: Path, config: Mapping[str, Any] | None = None) -> Iterator[WorldClient]:
    """Start a world with this configuration (written as TOML into the folder) and stop it at the end."""
    ready = folder / "world-ready.json"
    ready.unlink(missing_ok=True)
    settings = folder / "world.toml"
    settings.write_text(to_toml({"ready_file": ready.name, **(config or {})}))
    command = [sys.executable, "-W", "error", "-m", "unrip_world", "--config", str(settings)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT / "src")}
    with (folder / "world.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        urls = _wait_until_ready(process, ready, folder / "world.log")
        with httpx.Client(base_url=urls["control"], timeout=_CALL_TIMEOUT_S) as http:
            yield WorldClient(urls=urls, process=process, http=http)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> dict[str, str]:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not ready.exists():
        assert process.poll() is None, f"the world ended at its start: {log.read_text()}"
        assert time.monotonic() < deadline, f"the world was not ready: {log.read_text()}"
        time.sleep(0.05)
    return dict(json.loads(ready.read_text()))


def to_toml(table: Mapping[str, Any], *, prefix: str = "") -> str:
    """Write a nested mapping as TOML: scalars, lists of scalars, tables and lists of tables."""
    own, below = [], []
    for key, value in table.items():
        name = f"{prefix}{json.dumps(key)}"
        if isinstance(value, Mapping):
            below.append(f"[{name}]\n{to_toml(value, prefix=f'{name}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            below += [f"[[{name}]]\n{to_toml(item, prefix=f'{name}.')}" for item in value]
        else:
            own.append(f"{json.dumps(key)} = {json.dumps(value)}\n")
    return "".join([*own, *below])
