"""What every command needs: the settings in force, and a client of the services' control surfaces."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import httpx

from unrip.cli.exits import CommandFailed, Exit
from unrip.frame.settings import Settings, read_secret_file
from unrip.services.registry import SERVICES
from unrip.services.settings import load_settings

#: How long an action may take: it may wait for its record as long as the producer tries (`[kafka]
#: delivery_timeout_ms`).
_TIMEOUT = httpx.Timeout(20.0, connect=2.0)


def settings_path(given: Path | None) -> Path | None:
    """The named file, or `UNRIP_CONFIG`, or what `unrip up` wrote into `var/`; None for plain defaults."""
    if given is not None:
        return given
    if "UNRIP_CONFIG" in os.environ:
        return Path(os.environ["UNRIP_CONFIG"])
    local = Path("var/unrip.toml")
    return local if local.exists() else None


def settings_of(given: Path | None) -> Settings:
    """The settings in force.

    Raises:
        SettingsError: they cannot be used.

    """
    return load_settings(settings_path(given))


class ControlClient:
    """Calls services on their control ports; the CLI does nothing that this surface does not offer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.Client(
            timeout=_TIMEOUT,
            trust_env=False,  # no environment variable decides where an operator's token goes
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # plain HTTP: no certificates are read, which takes 20 ms
            limits=httpx.Limits(max_keepalive_connections=0),  # a service may have restarted between two calls
        )

    def url_of(self, service: str) -> str:
        """The URL of a service's control surface."""
        if service not in SERVICES:
            raise CommandFailed(f"there is no service {service!r}; there are: {', '.join(SERVICES)}", code=Exit.USAGE)
        return self._settings.url_of(service)

    def is_ready(self, service: str) -> bool:
        """Whether the service's own probe answers that it is ready; needs no token."""
        try:
            return self._http.get(f"{self.url_of(service)}/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def state(self, service: str) -> dict[str, Any]:
        """The state that the service shows.

        Raises:
            CommandFailed: it does not answer, or refuses our token.

        """
        token = read_secret_file(self._settings.control.read_token_file, "token file")
        state: dict[str, Any] = self._call("GET", service, "/state", token)
        return state

    def act(self, service: str, action: str, *, reason: str, **arguments: Any) -> dict[str, Any]:
        """Call an action of a service; the outcome shows whether it was followed.

        Raises:
            CommandFailed: it does not answer, or refuses our token or arguments.

        """
        token = read_secret_file(self._settings.control.operator_token_file, "token file")
        outcome: dict[str, Any] = self._call("POST", service, f"/{action}", token, {"reason": reason, **arguments})
        return outcome

    def _call(self, method: str, service: str, path: str, token: str, body: dict[str, Any] | None = None) -> Any:
        url = f"{self.url_of(service)}{path}"
        try:
            answer = self._http.request(method, url, json=body, headers={"Authorization": f"Bearer {token}"})
        except httpx.TransportError as error:
            raise CommandFailed(f"{service} does not answer at {url} ({error}): is it running?") from None
        if answer.status_code in {httpx.codes.OK, httpx.codes.CONFLICT}:
            return answer.json()
        raise CommandFailed(f"{service} answers {answer.status_code} at {url}: {_detail(answer)}")


def _detail(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError):
        return answer.text[:200]
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in detail)
    return str(detail)
