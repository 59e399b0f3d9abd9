"""Bounded JSON over HTTP with exact numbers.

Errors of this client:

* HttpError
  x HttpUnavailable   no usable answer; what the other side did is unknown
  x HttpRefused       a definite no; repeating it changes nothing
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import httpx

from unrip.net.exact import NotExact, decode

CONNECT_TIMEOUT_S = 3.0
TOTAL_TIMEOUT_S = 8.0
ANSWER_BYTES_MAX = 4 * 1024 * 1024
#: How much of a gateway's page is kept: enough to find its error number in.
PAGE_BYTES_MAX = 64 * 1024
#: How often a call is tried. Every call may be made twice, so one repeat is harmless; more would outlive the answer's
#: use.
ATTEMPTS_MAX = 2
RETRY_PAUSE_S = 0.2

_TRANSIENT = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
#: Client errors that mean "later" rather than "no".
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class HttpError(Exception):
    """The other side could not be asked. The message names the client and the outcome, never URL, header or body."""

    def __init__(self, message: str, *, status: int | None = None, body: Any = None, page: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        #: The decoded JSON of the answer, if there was any.
        self.body = body
        #: What a gateway sent instead of an answer; it is foreign, and only searched for what is known.
        self.page = page


class HttpUnavailable(HttpError):  # noqa: N818 - an outcome; the base class says that it is an error
    """No usable answer: time-out, broken connection, server error, rate limit, or something that is not JSON."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: Any = None,
        page: bytes = b"",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, status=status, body=body, page=page)
        #: How long the other side asked us to wait.
        self.retry_after_s = retry_after_s


class HttpRefused(HttpError):  # noqa: N818 - an outcome; the base class says that it is an error
    """A definite no: bad request, missing or wrong key, unknown path, redirect to elsewhere."""


class HttpClient:
    """Ask one service. `count` receives the outcome of every attempt."""

    def __init__(
        self,
        *,
        name: str,
        count: Callable[[str, dict[str, str]], None],
        transport: httpx.AsyncBaseTransport | None = None,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self.name = name
        #: Called for each answer that has a `Date`: its text, and how many seconds it took.
        self.on_date: Callable[[str, float], None] | None = None
        self._count = count
        self._total_timeout_s = total_timeout_s
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(total_timeout_s, connect=CONNECT_TIMEOUT_S),
            headers={"Accept": "application/json", "User-Agent": "unrip"},
            trust_env=False,  # no environment variable decides where a request goes
        )

    async def get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The decoded JSON of a GET.

        Raises:
            HttpUnavailable, HttpRefused: see the module.

        """
        return await self._ask(lambda: self._client.build_request("GET", url, params=params, headers=headers))

    async def post(self, url: str, body: Any, *, headers: Mapping[str, str] | None = None) -> Any:
        """The decoded JSON of a POST that may be sent twice: it only asks, or it repeats the same thing.

        Raises:
            HttpUnavailable, HttpRefused: see the module.

        """
        return await self._ask(lambda: self._client.build_request("POST", url, json=body, headers=headers))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _ask(self, build: Callable[[], httpx.Request]) -> Any:
        """Ask, with all attempts together within the total time-out."""
        try:
            async with asyncio.timeout(self._total_timeout_s):
                for _ in range(ATTEMPTS_MAX - 1):
                    try:
                        return await self._attempt(build())
                    except HttpUnavailable as error:
                        if error.status is not None and error.status not in _TRANSIENT:
                            raise
                    await asyncio.sleep(RETRY_PAUSE_S)
                return await self._attempt(build())
        except TimeoutError:
            self._counted("timeout")
            raise HttpUnavailable(f"{self.name}: no answer within {self._total_timeout_s:g} s") from None

    async def _attempt(self, request: httpx.Request) -> Any:
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        try:
            response = await self._client.send(request, stream=True)
            if self.on_date is not None and (date := response.headers.get("date")) is not None:
                self.on_date(date, loop.time() - asked_s)
            try:
                body = await self._read(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._counted("unavailable")
            # The library's texts can hold the URL; its type says enough.
            raise HttpUnavailable(f"{self.name}: no answer ({type(error).__name__})") from None
        return self._judge(response, body)

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                self._counted("oversized")
                raise HttpUnavailable(
                    f"{self.name}: the answer is larger than {ANSWER_BYTES_MAX} bytes", status=response.status_code
                )
        return bytes(body)

    def _judge(self, response: httpx.Response, body: bytes) -> Any:
        """The JSON of an answer, or the error that it means."""
        status = response.status_code
        document, complaint = _decode(response, body)
        page = b"" if complaint is None else body[:PAGE_BYTES_MAX]
        wait_s = _retry_after_s(response)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
            self._counted("unavailable")
            said = f"{self.name}: HTTP {status}"
            raise HttpUnavailable(said, status=status, body=document, page=page, retry_after_s=wait_s)
        if not response.is_success:
            self._counted("refused")
            raise HttpRefused(f"{self.name}: HTTP {status}", status=status, body=document, page=page)
        if complaint is not None:
            self._counted("not_json")
            raise HttpUnavailable(f"{self.name}: {complaint}", status=status, page=page, retry_after_s=wait_s)
        self._counted("answered")
        return document

    def _counted(self, outcome: str) -> None:
        self._count("http_attempts", {"client": self.name, "outcome": outcome})


def _decode(response: httpx.Response, body: bytes) -> tuple[Any, str | None]:
    """The answer's JSON, or the error where it is none: gateways answer with HTML pages, also with status 200."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.endswith("json"):
        return None, f"the answer is {kind[:40] or 'of no type'}, not JSON"
    try:
        return decode(body), None
    except NotExact as error:
        return None, str(error)


def _retry_after_s(response: httpx.Response) -> int | None:
    """The header's seconds; nobody whom we ask uses its other form, a date."""
    text = response.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None
