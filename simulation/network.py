"""The network between services and world: sockets that break, questions that get lost, and the world's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, Literal
from urllib.parse import parse_qs

import httpx
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response
from websockets.protocol import State

from simulation.clock import IN_TRANSIT, Pipe, VirtualLoop
from simulation.faults import Faults
from unrip_world.bridge.core import BridgeRefusedError
from unrip_world.codec import decode_json, encode_json
from unrip_world.effects import Disconnect, Effect, Send
from unrip_world.relay.journal import Submission
from unrip_world.relay.rpc import RpcRefusedError
from unrip_world.rpc.core import NotYetError, RpcError
from unrip_world.world import World

#: The host of each of the world's services; only the simulation's own network knows them.
URLS = {
    "relay": "ws://relay.simulation/ws",
    "relay_rpc": "http://relay.simulation/rpc",
    "kraken": "ws://kraken.simulation/v2",
    "rpc": "http://rpc.simulation",
    "rpc2": "http://rpc2.simulation",
    "bridge": "http://bridge.simulation/rpc",
    "kraken_rest": "http://kraken.simulation",
    "coingecko": "http://coingecko.simulation/api/v3",
}
SOLVER = "desk"
#: A half-open connection is found by our own pings within this (net/websocket.py).
_PING_FINDS_S = 10.0
_PINGS_UNANSWERED = "keepalive ping timeout"
_FOR_EVER_S = 1e6
#: As the world's own server waits.
_TX_PATIENCE_S, _TX_LOOKED_AT_EVERY_S = 10.0, 0.1


class Line:
    """One WebSocket, as the service holds it; see `net.websocket.Connection`."""

    #: Nothing stands still in virtual time.
    waited_s = 0.0

    def __init__(self, network: Network, service: str, number: int, owner: str) -> None:
        self.service, self.number, self.owner = service, number, owner
        self.state = State.OPEN
        self._network = network
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._up = Pipe(network.loop, network.latency_s)
        self._down = Pipe(network.loop, lambda: network.latency_s() + network.slow_s(service))
        self._half_open = False

    async def recv(self, decode: Literal[False]) -> bytes:
        """The next frame."""
        del decode
        frame = await self._inbox.get()
        if frame is None:
            self._inbox.put_nowait(None)
            raise ConnectionClosedError(None, Close(1011, _PINGS_UNANSWERED) if self._half_open else None)
        return frame

    async def send(self, message: str) -> None:
        """Hand a frame to the operating system."""
        if self.state is not State.OPEN:
            raise ConnectionClosedError(None, None)
        self._up.put(self._arrive, message)
        if self._network.faults.strikes("half_write"):
            self.leave()
            raise ConnectionClosedError(None, None)

    async def close(self) -> None:
        """End it."""
        self.leave()

    def leave(self) -> None:
        """Our end is gone; what was written before still arrives."""
        if self._closed():
            self._up.put(self._network.closed, self)

    def cut(self) -> None:
        """The network is gone; nothing that was under way arrives."""
        if self._closed():
            self._up.close()
            self._network.closed(self)

    def half_open(self) -> None:
        """Nothing passes any more, and only our pings find out."""
        self._half_open = True
        self._network.loop.call_later(_PING_FINDS_S, self.cut, context=IN_TRANSIT)

    def tell(self, text: str) -> None:
        """The world sends a frame."""
        if not self._half_open:
            self._down.put(self._inbox.put_nowait, text.encode())

    def _closed(self) -> bool:
        if self.state is not State.OPEN:
            return False
        self.state = State.CLOSED
        self._down.close()
        self._inbox.put_nowait(None)
        return True

    def _arrive(self, text: str) -> None:
        if not self._half_open:
            self._network.said(self, text)


class Network:
    """Everything between the services and the world, and the world's own life."""

    def __init__(
        self,
        loop: VirtualLoop,
        world: World,
        faults: Faults,
        *,
        chance: Random,
        on_submission: Callable[[Submission], None],
        on_block: Callable[[], None],
        on_time: Callable[[int], None],
    ) -> None:
        self.loop, self.world, self.faults = loop, world, faults
        self._chance = chance
        self._on_submission = on_submission
        self._on_block, self._on_time = on_block, on_time
        self._numbers = count(1)
        self._lines: dict[int, Line] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._height = world.chain.head.height

    # --- the world's life ------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Let the world do what is due, and come back when more is."""
        self.carry_out(self.world.advance(self.loop.now_ns))

    def carry_out(self, effects: list[Effect]) -> None:
        """What the world does to the services, and its next instant."""
        for effect in effects:
            if isinstance(effect, Send):
                line = self._lines.get(effect.connection)
                if line is not None and self.world.faults.get(effect.service, "mute") is None:
                    line.tell(effect.text)
            elif isinstance(effect, Disconnect):
                for line in [line for line in self._lines.values() if line.service == effect.service]:
                    line.cut()
        if self._alarm is not None:
            self._alarm.cancel()
        due_s = self.loop.at_ns(self.world.next_at_ns())
        self._alarm = self.loop.call_at(due_s, self.advance, context=IN_TRANSIT)
        self._on_time(self.loop.now_ns)
        if self._height != self.world.chain.head.height:
            self._height = self.world.chain.head.height
            self._on_block()

    def latency_s(self) -> float:
        """One way through the network."""
        return self._chance.uniform(0.001, 0.015)

    def slow_s(self, service: str) -> float:
        """What the world adds to every answer of a service."""
        fault = self.world.faults.get(service, "slow_ms")
        return 0.0 if fault is None else fault["ms"] / 1_000

    # --- sockets ---------------------------------------------------------------------------------------------------

    async def connect(self, url: str, owner: str) -> Line:
        """Open a socket of a service's process."""
        await asyncio.sleep(self.latency_s() * 2)
        address = httpx.URL(url)
        service = str(address.host).partition(".")[0]
        refused = self.world.faults.get(service, "refuse_handshake")
        if self.world.faults.get(service, "down") is not None or refused is not None:
            status = 503 if refused is None else refused["status"]
            raise InvalidStatus(Response(status, "refused", Headers()))
        line = Line(self, service, next(self._numbers), owner)
        self._lines[line.number] = line
        if service == "kraken":
            self.carry_out(self.world.kraken.on_open(line.number, self.loop.now_ns))
        else:
            names = parse_qs(address.query.decode()).get("instance_id", [None])
            self.world.relay.on_open(line.number, solver=SOLVER, instance_id=names[0])
        return line

    def lines_of(self, owner: str) -> list[Line]:
        """The open sockets of a process."""
        return [line for line in self._lines.values() if line.owner == owner]

    def said(self, line: Line, text: str) -> None:
        """A frame of ours has arrived."""
        if line.number not in self._lines:
            return
        if line.service == "kraken":
            self.carry_out(self.world.kraken.on_frame(line.number, text, self.loop.now_ns))
            return
        submissions = self.world.relay.journal.submissions
        before = len(submissions)
        effects = self.world.relay.on_frame(line.number, text, self.loop.now_ns)
        for submission in list(submissions)[before:]:
            self._on_submission(submission)
        self.carry_out(effects)

    def closed(self, line: Line) -> None:
        """The world learns that a socket is gone."""
        if self._lines.pop(line.number, None) is not None:
            core = self.world.kraken if line.service == "kraken" else self.world.relay
            core.on_close(line.number)

    # --- questions -------------------------------------------------------------------------------------------------

    def transport(self) -> httpx.AsyncBaseTransport:
        """The way of HTTP requests into the world."""
        return _Transport(self)

    async def ask(self, request: httpx.Request) -> httpx.Response:
        """One question and its answer, with the faults of the way and of the other side."""
        service = str(request.url.host).partition(".")[0]
        await asyncio.sleep(self.latency_s())
        if self.faults.strikes("lost_question"):
            raise httpx.ConnectError("the way there is broken")
        if self.world.faults.get(service, "down") is not None:
            return httpx.Response(503, text="Service Unavailable", request=request)
        if self.world.faults.get(service, "mute") is not None:
            await asyncio.sleep(_FOR_EVER_S)
        if (told := self.world.faults.get(service, "http_status")) is not None:
            return httpx.Response(told["status"], text=told["text"], request=request)
        answer = encode_json(await self._answer_in_time(service, request))
        await asyncio.sleep(self.latency_s() + self.slow_s(service))
        if self.faults.strikes("lost_answer"):
            raise httpx.ReadError("the way back is broken")
        headers = {"content-type": "application/json"}
        return httpx.Response(200, content=answer.encode(), headers=headers, request=request)

    async def _answer_in_time(self, service: str, request: httpx.Request) -> object:
        """A node waits a while until a transaction is as far as it was asked for."""
        latest_s = self.loop.time() + _TX_PATIENCE_S
        while True:
            try:
                return self._answer(service, request, patient=self.loop.time() < latest_s)
            except NotYetError:
                await asyncio.sleep(_TX_LOOKED_AT_EVERY_S)

    def _answer(self, service: str, request: httpx.Request, *, patient: bool) -> object:
        world = self.world
        if service == "kraken":
            return world.kraken.rest(
                request.url.path.rsplit("/", 1)[-1], request.url.params.get("pair"), self.loop.now_ns
            )
        if service == "coingecko":
            ids = request.url.params["ids"].split(",")
            return world.coingecko.simple_price(ids=ids, currencies=["eur"], with_time=True)
        body = decode_json(request.content)
        reply = {"jsonrpc": "2.0", "id": body.get("id")}
        try:
            return {**reply, "result": self._call(service, body["method"], body["params"])}
        except RpcError as error:
            if patient and isinstance(error, NotYetError):
                raise
            return {**reply, "error": error.body}
        except BridgeRefusedError as refusal:
            return {**reply, "error": str(refusal)}
        except RpcRefusedError as refusal:
            return {**reply, "error": {"code": -32602, "message": str(refusal)}}

    def _call(self, service: str, method: str, parameters: Any) -> object:
        """What a JSON-RPC service of the world answers; of the relay's, what a solver asks."""
        world = self.world
        if service in world.nodes:
            return world.nodes[service].call(method, parameters)
        if service == "bridge":
            return world.bridge.call(method, parameters)
        (first,) = parameters
        if method == "get_status":
            return world.askers.get_status(first["intent_hash"])
        signed = [first["signed_data"]]
        return world.askers.publish(quote_hashes=first["quote_hashes"], signed=signed, now_ns=self.loop.now_ns)


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, network: Network) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._network.ask(request)
