"""The control surface that every service has: probes, state, metrics, actions; the same paths everywhere.

Who may ask what is judged before, in `gate.py`. No postponed annotations in this module: FastAPI must see them.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from unrip import __version__
from unrip.domain.values import Value
from unrip.frame.action import Action
from unrip.frame.contract import Control
from unrip.frame.control import ControlOutcome
from unrip.frame.gate import Gate, OnRefused
from unrip.frame.state import schema_of_state
from unrip.frame.tokens import Access, Tokens


class Surface(Protocol):
    """What the HTTP routes use of the frame."""

    def health_failures(self) -> list[str]:
        """Hard dependencies that are away."""
        ...

    def not_ready(self) -> list[str]:
        """Named reasons why the service cannot do its job."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything an operator may see."""
        ...

    def metrics(self) -> bytes:
        """The Prometheus exposition."""
        ...

    async def act(self, control: Control) -> ControlOutcome:
        """Follow an operator's action."""
        ...


class OutcomeBody(BaseModel):
    """The answer to an action."""

    applied: bool
    before: dict[str, str]
    after: dict[str, str]
    recorded: str
    kept: bool | None
    refusal: str | None


class RefusedBody(BaseModel):
    """Why a request was not even read as one."""

    detail: str


class ProbeBody(BaseModel):
    """The answer to a probe; whatever follows `ok` is told to who shows a token."""

    ok: bool
    reasons: list[str] | None = None
    why: dict[str, str] | None = Field(default=None, description="Reasons in the words of who refused.")
    dependencies: dict[str, Any] | None = Field(default=None, description="When each last did what it is for.")


#: What the gate answers by itself, for the document.
_READING: dict[int | str, dict[str, Any]] = {
    401: {"model": RefusedBody, "description": "No token that is known."},
    413: {"model": RefusedBody, "description": "A body that is too long."},
}
_ACTING: dict[int | str, dict[str, Any]] = {
    **_READING,
    400: {"model": RefusedBody, "description": "A body that is no text."},
    403: {"model": RefusedBody, "description": "A token that may only read."},
    409: {"model": OutcomeBody, "description": "It was not followed; see `refusal`."},
}
_PROBING: dict[int | str, dict[str, Any]] = {503: {"model": ProbeBody, "description": "It is not so."}}

#: The bearer is only named by this, for the document: the gate has judged it before a route is asked.
_NAMED = Depends(HTTPBearer(auto_error=False))


def _access(request: Request, _named: Any = _NAMED) -> Access | None:
    found: Access | None = request.state.access
    return found


_Presented = Annotated[Access | None, Depends(_access)]


def build_app(
    service: str,
    surface: Surface,
    tokens: Tokens,
    actions: tuple[Action, ...],
    *,
    state: type[Value] = Value,
    on_refused: OnRefused = lambda _status, _path: None,
) -> FastAPI:
    """Build the service's HTTP application; `actions` are all that it follows, and `state` is what it shows of itself.

    What is shown is written as our records are, so its schema comes from our types and not from FastAPI's.
    """
    shown, types = schema_of_state(state)
    app = FastAPI(title=f"unrip {service}", version=__version__, openapi_url=None)
    app.add_middleware(Gate, tokens=tokens, on_refused=on_refused)
    _add_probes(app, surface)

    @app.get("/state", dependencies=[_NAMED], responses={**_READING, 200: _body_of(shown)})
    async def read_state() -> Response:
        return JSONResponse(surface.state())

    @app.get("/metrics", dependencies=[_NAMED], responses=_READING)
    async def metrics() -> Response:
        return Response(surface.metrics(), media_type="text/plain; version=0.0.4")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        document = app.openapi()
        document["components"]["schemas"] |= types
        return JSONResponse(document)

    for action in actions:
        route = _action_route(action, surface)
        app.post(f"/{action.name}", summary=action.summary, response_model=OutcomeBody, responses=_ACTING)(route)
    return app


def _body_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _add_probes(app: FastAPI, surface: Surface) -> None:
    """The three probes need no token, and give no details without one."""

    def probe(failures: list[str], access: Access | None) -> Response:
        body: dict[str, Any] = {"ok": not failures}
        if access is not None:
            body["reasons"] = failures
            if failures:
                state = surface.state()
                body |= {name: state[name] for name in ("why", "dependencies") if name in state}
        return JSONResponse(body, status_code=503 if failures else 200)

    @app.get("/livez")
    async def livez() -> Response:
        return JSONResponse({"ok": True})

    @app.get("/healthz", response_model=ProbeBody, responses=_PROBING)
    async def healthz(access: _Presented) -> Response:
        return probe(surface.health_failures(), access)

    @app.get("/readyz", response_model=ProbeBody, responses=_PROBING)
    async def readyz(access: _Presented) -> Response:
        return probe(surface.not_ready(), access)


def _action_route(action: Action, surface: Surface) -> Callable[..., Awaitable[Response]]:
    async def route(body: Any, access: Access) -> Response:
        control = Control(
            action=action.name,
            arguments=body.model_dump(exclude={"reason"}, exclude_none=True),
            actor=access.value,
            reason=body.reason,
        )
        outcome = await surface.act(control)
        status = 200 if outcome.applied else 409
        return JSONResponse(
            OutcomeBody(
                applied=outcome.applied,
                before=outcome.before,
                after=outcome.after,
                recorded=outcome.recorded,
                kept=outcome.kept,
                refusal=outcome.refusal,
            ).model_dump(),
            status_code=status,
        )

    route.__annotations__ = {"body": action.body, "access": _Presented, "return": Response}
    route.__name__ = action.name.replace("-", "_").replace("/", "_")
    return route
