"""The control surface: probes for everybody, the rest by token, and the same paths everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from unrip.frame.action import COMMON_ACTIONS
from unrip.frame.contract import Control
from unrip.frame.control import ControlOutcome
from unrip.frame.http import build_app
from unrip.frame.tokens import Tokens
from unrip.services.strategy_engine.definition import SERVICE

READ, OPERATOR = "r" * 43, "o" * 43
PROBES = {"/livez", "/healthz", "/readyz"}


class Surface:
    """A frame of which every answer is chosen."""

    def __init__(self) -> None:
        self.health: list[str] = []
        self.readiness: list[str] = []
        self.controls: list[Control] = []
        self.refusal: str | None = None

    def health_failures(self) -> list[str]:
        return self.health

    def not_ready(self) -> list[str]:
        return self.readiness

    def state(self) -> dict[str, Any]:
        return {"armed": "none"}

    def metrics(self) -> bytes:
        return b"unrip_things_total 1.0\n"

    async def act(self, control: Control) -> ControlOutcome:
        self.controls.append(control)
        return ControlOutcome(
            applied=self.refusal is None,
            before={},
            after={"a": "b"},
            recorded="published",
            kept=None,
            refusal=self.refusal,
        )


@pytest.fixture
def surface() -> Surface:
    return Surface()


@pytest.fixture
async def client(surface: Surface) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app("strategy-engine", surface, Tokens(read=READ, operator=OPERATOR), SERVICE.all_actions)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as found:
        yield found


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def routes(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    document = (await client.get("/openapi.json", headers=bearer(READ))).json()
    return [(method, path) for path, methods in document["paths"].items() for method in methods]


async def test_probes_tell_without_a_token_only_whether(client: httpx.AsyncClient, surface: Surface) -> None:
    surface.health, surface.readiness = ["postgres_unreachable"], ["standby"]
    for headers in ({}, bearer("wrong")):
        for path in ("/healthz", "/readyz"):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, answer.json()) == (503, {"ok": False})
        live = await client.get("/livez", headers=headers)
        assert (live.status_code, live.json()) == (200, {"ok": True})
    for token in (READ, OPERATOR):
        assert (await client.get("/healthz", headers=bearer(token))).json() == {
            "ok": False,
            "reasons": ["postgres_unreachable"],
        }
        assert (await client.get("/readyz", headers=bearer(token))).json()["reasons"] == ["standby"]
    surface.health, surface.readiness = [], []
    assert (await client.get("/healthz")).json() == {"ok": True}
    assert (await client.get("/readyz")).status_code == 200


async def test_the_document_names_every_path(client: httpx.AsyncClient) -> None:
    actions = {"pause", "resume", "drain", "arm", "disarm", "halt", "threshold", "limits"}
    assert set(await routes(client)) == {
        *(("get", path) for path in (*PROBES, "/state", "/metrics")),
        *(("post", f"/{name}") for name in actions),
    }
    assert (await client.get("/openapi.json")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {OPERATOR}x"},
        {"Authorization": f"Basic {OPERATOR}"},
        {"Authorization": OPERATOR},
        {"Authorization": "Bearer"},
        {"X-Token": OPERATOR},
    ],
    ids=["missing", "wrong", "longer", "basic", "bare", "empty", "elsewhere"],
)
async def test_nothing_but_probes_answers_without_a_right_token(
    client: httpx.AsyncClient, surface: Surface, headers: dict[str, str]
) -> None:
    for method, path in await routes(client):
        answer = await client.request(method, path, headers=headers, json={"reason": "let me in"})
        assert answer.status_code == (200 if path in PROBES else 401), (method, path)
        assert OPERATOR not in answer.text
    assert surface.controls == []


class Body:
    """A body in pieces, without a length told ahead; counts the pieces that were asked for."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            yield piece


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), (bearer("wrong"), 401), (bearer(READ), 403)], ids=["none", "wrong", "read"]
)
@pytest.mark.parametrize("piece", [b"{", b"[" * 100_000, b"\xff"], ids=["cut off", "nested", "no text"])
async def test_a_body_is_not_even_read_before_the_token_is_judged(
    client: httpx.AsyncClient, headers: dict[str, str], status: int, piece: bytes
) -> None:
    for method, path in await routes(client):
        body = Body(*[piece] * 1_000)
        if method == "post":
            assert (await client.post(path, headers=headers, content=body)).status_code == status, path
        elif path in PROBES:
            assert (await client.request(method, path, headers=headers, content=body)).status_code == 200, path
        assert body.read == 0


async def test_nobody_fills_the_memory(client: httpx.AsyncClient, surface: Surface) -> None:
    body = Body(*[b" " * 10_000] * 1_000)
    answer = await client.post("/halt", headers=bearer(OPERATOR), content=body)
    assert (answer.status_code, answer.json()["detail"]) == (413, "the body has more than 65536 bytes")
    assert body.read == 7
    whole = b" " * 65_537
    assert (await client.post("/halt", headers=bearer(OPERATOR), content=whole)).status_code == 413
    assert surface.controls == []
    fits = b'{"reason":"stop it"}'.ljust(65_536)
    headers = {**bearer(OPERATOR), "Content-Type": "application/json"}
    for content in (fits, Body(fits[:10], fits[10:])):
        assert (await client.post("/halt", headers=headers, content=content)).status_code == 200
    assert [control.reason for control in surface.controls] == ["stop it", "stop it"]


async def test_a_read_token_reads_and_never_acts(client: httpx.AsyncClient, surface: Surface) -> None:
    for method, path in await routes(client):
        answer = await client.request(method, path, headers=bearer(READ), json={"reason": "let me act"})
        assert answer.status_code == (200 if method == "get" else 403), (method, path)
    assert surface.controls == []
    assert (await client.get("/state", headers=bearer(READ))).json() == {"armed": "none"}
    assert "unrip_things_total" in (await client.get("/metrics", headers=bearer(READ))).text


async def test_an_action_carries_actor_reason_and_arguments(client: httpx.AsyncClient, surface: Surface) -> None:
    arguments = {"directions": ["base_out"], "lease_minutes": 30, "survive_restart": False}
    body = {"reason": "first trades", **arguments}
    answer = await client.post("/arm", headers=bearer(OPERATOR), json=body)
    assert answer.status_code == 200
    assert answer.json() == {
        "applied": True,
        "before": {},
        "after": {"a": "b"},
        "recorded": "published",
        "kept": None,
        "refusal": None,
    }
    (control,) = surface.controls
    assert (control.action, control.actor, control.reason) == ("arm", "operator", "first trades")
    assert control.arguments == arguments


async def test_an_arm_without_more_is_for_both_directions(client: httpx.AsyncClient, surface: Surface) -> None:
    await client.post("/arm", headers=bearer(OPERATOR), json={"reason": "go on"})
    assert surface.controls[0].arguments == {
        "directions": ["base_in", "base_out"],
        "lease_minutes": 480,
        "survive_restart": False,
    }


async def test_a_refusal_is_a_conflict_with_its_words(client: httpx.AsyncClient, surface: Surface) -> None:
    surface.refusal = "not ready: recovering"
    answer = await client.post("/halt", headers=bearer(OPERATOR), json={"reason": "stop it"})
    assert (answer.status_code, answer.json()["refusal"]) == (409, "not ready: recovering")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pause", {}),
        ("/pause", {"reason": ""}),
        ("/pause", {"reason": "no"}),
        ("/pause", {"reason": "x" * 501}),
        ("/pause", {"reason": "fine", "more": 1}),
        ("/pause", ["reason"]),
        ("/pause", {"reason": "a NUL \0"}),
        ("/arm", {"reason": "fine", "directions": []}),
        ("/arm", {"reason": "fine", "directions": ["sideways"]}),
        ("/arm", {"reason": "fine", "lease_minutes": 0}),
        ("/arm", {"reason": "fine", "lease_minutes": 1_441}),
        ("/arm", {"reason": "fine", "lease_minutes": "long"}),
        ("/threshold", {"reason": "fine"}),
        ("/threshold", {"reason": "fine", "edge_threshold": 2}),
        ("/limits", {"reason": "fine", "notional_cap_eur": 0}),
        ("/limits", {"reason": "fine", "notional_cap_eur": "NaN"}),
        ("/limits", {"reason": "fine", "notional_floor_eur": -1}),
        ("/limits", {"reason": "fine", "edge_threshold": "3 %"}),
        ("/limits", {"reason": "fine", "base_max": 1}),
    ],
)
async def test_what_cannot_be_read_is_refused_before_it_acts(
    client: httpx.AsyncClient, surface: Surface, path: str, body: Any
) -> None:
    answer = await client.post(path, headers=bearer(OPERATOR), json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert surface.controls == []


async def test_no_documentation_pages_are_served(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/redoc", "/"):
        assert (await client.get(path, headers=bearer(OPERATOR))).status_code == 404


DEEP = b"[" * 20_000
#: Whatever a client may send: token, body, method.
REQUESTS: list[tuple[dict[str, str], bytes]] = [
    (headers, body)
    for headers in ({}, bearer(READ), bearer(OPERATOR))
    for body in (
        b"",
        b"{}",
        b'{"reason": "a test"}',
        b'{"reason": "a test", "edge_threshold": "2 %"}',
        b'{"reason": 7}',
        b"\xff\xfe\xfd",
        DEEP,
        b"{" * 70_000,
        b"nonsense",
    )
]


async def test_the_document_names_every_status_that_can_come(client: httpx.AsyncClient, surface: Surface) -> None:
    document = (await client.get("/openapi.json", headers=bearer(READ))).json()
    came: dict[tuple[str, str], set[str]] = {}
    for refused in (None, "not now"):
        surface.refusal = refused
        surface.health = surface.readiness = ["postgres_unreachable"] if refused else []
        for method, path in await routes(client):
            for headers, body in REQUESTS:
                sent = {**headers, "content-type": "application/json"}
                answer = await client.request(method, path, headers=sent, content=body)
                came.setdefault((method, path), set()).add(str(answer.status_code))
    for (method, path), statuses in came.items():
        named = set(document["paths"][path][method]["responses"])
        assert statuses <= named, (method, path)
        assert named <= statuses, (method, path)


async def test_what_is_refused_is_told_with_status_and_path(surface: Surface) -> None:
    refused: list[tuple[int, str]] = []
    tokens = Tokens(read=READ, operator=OPERATOR)
    app = build_app(
        "s", surface, tokens, COMMON_ACTIONS, on_refused=lambda status, path: refused.append((status, path))
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://desk") as client:
        await client.get("/state")
        await client.post("/pause", headers=bearer(READ))
        await client.get("/nowhere", headers=bearer(READ))
        await client.post("/pause", headers=bearer(OPERATOR), content=b"x" * 70_000)
        await client.post("/pause", headers=bearer(OPERATOR), json={"reason": 7})
        surface.refusal, surface.readiness = "not now", ["standby"]
        await client.post("/pause", headers=bearer(OPERATOR), json={"reason": "a test"})
        await client.get("/readyz")
        await client.get("/state", headers=bearer(READ))
    assert refused == [(401, "/state"), (403, "/pause"), (404, "/nowhere"), (413, "/pause"), (422, "/pause")]
