"""The control surface that every service has: probes, state, metrics, actions; the same paths everywhere.

No postponed annotations in this module: FastAPI must see the dependencies, which are local functions.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from unrip import __version__
from unrip.service.contract import Control
from unrip.service.control import ControlOutcome
from unrip.service.tokens import Access, Tokens


class ReasonBody(BaseModel):
    """What every action needs: why it is done."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=3, max_length=500, description="Why; it is recorded with the action.")


class Action(BaseModel):
    """One action of a service: its path and the arguments it takes."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    body: type[ReasonBody] = ReasonBody
    summary: str = ""


#: The actions every service has.
COMMON_ACTIONS = (
    Action(name="pause", summary="Do nothing new until resumed."),
    Action(name="resume", summary="Go on after a pause."),
    Action(name="drain", summary="Take nothing new, finish what is in flight; the process then waits to be stopped."),
)


class Surface(Protocol):
    """What the HTTP routes ask of the frame."""

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


def build_app(service: str, surface: Surface, tokens: Tokens, actions: tuple[Action, ...]) -> FastAPI:
    """Build the service's HTTP application."""
    app = FastAPI(title=f"unrip {service}", version=__version__, openapi_url=None)
    bearer = HTTPBearer(auto_error=False)

    def presented(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Access | None:
        return tokens.access_of(credentials.credentials if credentials else None)

    def may_read(access: Annotated[Access | None, Depends(presented)]) -> Access:
        if access is None:
            raise HTTPException(401, "a read or operator token is needed: Authorization: Bearer …")
        return access

    def may_act(access: Annotated[Access, Depends(may_read)]) -> Access:
        if access is not Access.OPERATOR:
            raise HTTPException(403, "the operator token is needed; this one may only read")
        return access

    _add_probes(app, surface, presented)

    @app.get("/state", dependencies=[Depends(may_read)])
    async def state() -> Response:
        return JSONResponse(surface.state())

    @app.get("/metrics", dependencies=[Depends(may_read)])
    async def metrics() -> Response:
        return Response(surface.metrics(), media_type="text/plain; version=0.0.4")

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(may_read)])
    async def openapi() -> Response:
        return JSONResponse(app.openapi())

    for action in (*COMMON_ACTIONS, *actions):
        app.post(f"/{action.name}", summary=action.summary, response_model=OutcomeBody)(
            _action_route(action, surface, may_act)
        )
    return app


def _add_probes(app: FastAPI, surface: Surface, presented: Callable[..., Access | None]) -> None:
    """The three probes need no token, and give no details without one."""

    def probe(failures: list[str], access: Access | None) -> Response:
        body: dict[str, Any] = {"ok": not failures}
        if access is not None:
            body["reasons"] = failures
        return JSONResponse(body, status_code=503 if failures else 200)

    @app.get("/livez")
    async def livez() -> Response:
        return JSONResponse({"ok": True})

    @app.get("/healthz")
    async def healthz(access: Annotated[Access | None, Depends(presented)]) -> Response:
        return probe(surface.health_failures(), access)

    @app.get("/readyz")
    async def readyz(access: Annotated[Access | None, Depends(presented)]) -> Response:
        return probe(surface.not_ready(), access)


def _action_route(
    action: Action, surface: Surface, may_act: Callable[..., Access]
) -> Callable[..., Awaitable[Response]]:
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

    route.__annotations__ = {"body": action.body, "access": Annotated[Access, Depends(may_act)], "return": Response}
    route.__name__ = action.name.replace("-", "_").replace("/", "_")
    return route
