"""What stands before the control surface: no byte of a body is read before its token is judged, and never many."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPMethod, HTTPStatus

from fastapi.responses import JSONResponse
from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unrip.frame.tokens import Access, Tokens

#: The paths that every service answers to everybody.
PROBES = frozenset({"/livez", "/healthz", "/readyz"})
#: The largest body that is read; the largest action is below one KiB.
BODY_BYTES_MAX = 64 * 1024
#: The status of an action that the service does not follow now: it is recorded as an action, not counted as a refusal.
_FIRST_REFUSAL, _NOT_FOLLOWED = HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT

#: Called for each request that was refused: the status, and the path, which is the client's text.
OnRefused = Callable[[int, str], None]


class Gate:
    """An ASGI middleware: it puts what the token allows into the request's state as `access`, and refuses the rest.

    Probes need no token. To look at anything else any token will do; whatever is not a GET needs the operator's.
    """

    def __init__(self, app: ASGIApp, *, tokens: Tokens, on_refused: OnRefused) -> None:
        self._app = app
        self._tokens = tokens
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = self._watched(scope["path"], send)
        access = self._access(Headers(scope=scope))
        scope.setdefault("state", {})["access"] = access
        if scope["path"] in PROBES:
            await self._app(scope, receive, send)
        elif access is None:
            why = "a read or operator token is needed: Authorization: Bearer …"
            await _refuse(HTTPStatus.UNAUTHORIZED, why)(scope, receive, send)
        elif access is not Access.OPERATOR and scope["method"] != HTTPMethod.GET:
            why = "the operator token is needed; this one may only read"
            await _refuse(HTTPStatus.FORBIDDEN, why)(scope, receive, send)
        elif (body := await _read(receive)) is None:
            why = f"the body has more than {BODY_BYTES_MAX} bytes"
            await _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)(scope, receive, send)
        else:
            await self._app(scope, _first_then(body, receive), send)

    def _watched(self, path: str, send: Send) -> Send:
        async def watched(message: Message) -> None:
            status = message.get("status", 0)
            if _FIRST_REFUSAL <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status != _NOT_FOLLOWED:
                self._on_refused(status, path)
            await send(message)

        return watched

    def _access(self, headers: Headers) -> Access | None:
        scheme, credentials = get_authorization_scheme_param(headers.get("Authorization"))
        return self._tokens.access_of(credentials) if scheme.lower() == "bearer" else None


def _refuse(status: HTTPStatus, why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, status_code=status)


async def _read(receive: Receive) -> Message | None:
    """The whole body as one message, None as soon as it is too long; the client's own length is not trusted."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return message
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return {"type": "http.request", "body": bytes(body), "more_body": False}


def _first_then(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
