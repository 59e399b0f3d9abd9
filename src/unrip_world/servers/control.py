"""The control endpoint: what a test or an operator of the world may see and do. Never part of the venue."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from unrip_world.bridge.core import BridgeRefusedError
from unrip_world.codec import NS_PER_MS, encode_json
from unrip_world.demands import DemandError, listed, read_demand
from unrip_world.faults import FaultError, read_fault
from unrip_world.servers.http import Handler, json_response, read_json
from unrip_world.servers.runtime import Runtime
from unrip_world.verifier.message import check_token_id
from unrip_world.verifier.state import SETTINGS

_LIMIT = 1_000
Action = Callable[[web.Request], Awaitable[object]]


class Control:
    """One method per route; each gives the JSON to answer with."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._world = runtime, runtime.world

    def app(self) -> web.Application:
        """Make the application; the whole surface on one screen."""
        app = web.Application(middlewares=[_refusals_as_json])
        routes: list[tuple[str, str, Action]] = [
            ("GET", "/health", self.health),
            ("GET", "/state", self.state),
            ("GET", "/accounts/{account}", self.account),
            ("POST", "/accounts/{account}/credit", self.credit),
            ("POST", "/accounts/{account}/debit", self.debit),
            ("GET", "/demands", self.demands),
            ("POST", "/demands", self.publish_demand),
            ("GET", "/demands/{quote_id}", self.demand),
            ("GET", "/submissions", self.submissions),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.set_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("DELETE", "/faults/{service}/{kind}", self.clear_fault),
            ("GET", "/bridge/deposits", self.deposits),
            ("POST", "/bridge/deposits", self.make_deposit),
            ("POST", "/bridge/deposits/{deposit}/credit", self.credit_deposit),
            ("POST", "/takers/pause", lambda _: self.pause_takers(paused=True)),
            ("POST", "/takers/resume", lambda _: self.pause_takers(paused=False)),
            ("GET", "/judge", self.judge),
        ]
        for method, path, action in routes:
            app.router.add_route(method, path, self._answering(action))
        return app

    def _answering(self, action: Action) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            answer = await action(request)
            self._runtime.keep()
            return json_response(answer)

        return handle

    async def health(self, _: web.Request) -> object:
        """Answer that the loop turns."""
        return {"status": "ok"}

    async def state(self, _: web.Request) -> object:
        """Show the whole world at a glance."""
        world = self._world
        head, final = world.chain.head, world.chain.final
        state = world.verifier.storage.at(head.height)
        return {
            "now_ms": self._runtime.now_ns() // NS_PER_MS,
            "height": head.height,
            "final_height": final.height,
            "contract_id": world.verifier.contract_id,
            "salt": state.get(SETTINGS, "salt").hex(),
            "fee_pips": state.get(SETTINGS, "fee"),
            "paused": state.get(SETTINGS, "paused"),
            "kraken": {"bid": str(world.walk.tick.bid), "ask": str(world.walk.tick.ask)},
            "coingecko": {coin: str(price) for coin, price in world.coingecko.prices.items()},
            "takers_paused": world.takers_paused,
            "faults": [fault.listed() for fault in world.faults.active()],
            "unacknowledged": world.relay.unacknowledged(),
            "solvers": {name: score.report() for name, score in world.relay.journal.scores.items()},
        }

    async def account(self, request: web.Request) -> object:
        """Show an account's balances at the head and at the final block."""
        account, chain = request.match_info["account"], self._world.chain
        return {
            "account_id": account,
            "head": self._world.balances(account, height=chain.head.height),
            "final": self._world.balances(account, height=chain.final.height),
        }

    async def credit(self, request: web.Request) -> object:
        """Give an account something in the next block."""
        return await self._change(request, "mt_mint")

    async def debit(self, request: web.Request) -> object:
        """Take something out of an account in the next block, as its owner's own withdrawal would."""
        return await self._change(request, "mt_burn")

    async def _change(self, request: web.Request, method: str) -> object:
        body = await read_json(request)
        account, amount = request.match_info["account"], _positive(body, "amount")
        try:
            token = check_token_id(_text(body.get("token_id"), "token_id"))
        except ValueError as error:
            raise _bad(str(error)) from error
        tx_hash = self._world.submit(method, account_id=account, token_id=token, amount=str(amount))
        return {"tx_hash": tx_hash}

    async def demands(self, request: web.Request) -> object:
        """Show the newest demands first."""
        auctions = list(self._world.relay.auctions.values())[::-1]
        return {"demands": [listed(auction) for auction in auctions[: _limit(request)]]}

    async def publish_demand(self, request: web.Request) -> object:
        """Publish a demand as the control taker."""
        quote_id, effects = self._world.demand(read_demand(await read_json(request)), self._runtime.now_ns())
        self._runtime.carry_out(effects)
        return {"quote_id": quote_id}

    async def demand(self, request: web.Request) -> object:
        """Show one demand."""
        auction = self._world.relay.auctions.get(request.match_info["quote_id"])
        if auction is None:
            raise web.HTTPNotFound(text=encode_json({"error": "no such demand"}), content_type="application/json")
        return listed(auction)

    async def submissions(self, request: web.Request) -> object:
        """Show every `quote_response` frame, oldest first."""
        quote_id = request.query.get("quote_id")
        frames = [frame for frame in self._world.relay.journal.submissions if quote_id in (None, frame.quote_id)]
        return {
            "total": len(frames),
            "submissions": [
                {
                    "solver": frame.solver,
                    "quote_id": frame.quote_id,
                    "quote_hash": frame.quote_hash,
                    "received_at_ms": frame.received_ns // NS_PER_MS,
                    "raw": frame.raw,
                }
                for frame in frames[-_limit(request) :]
            ],
        }

    async def faults(self, _: web.Request) -> object:
        """Show what is wrong now, and what was done."""
        world = self._world
        history = [{"at_ms": at_ns // NS_PER_MS, **fault.listed()} for at_ns, fault in world.fault_log]
        return {"faults": [fault.listed() for fault in world.faults.active()], "history": history}

    async def set_fault(self, request: web.Request) -> object:
        """Let something go wrong."""
        now_ns = self._runtime.now_ns()
        fault = read_fault(await read_json(request), now_ns=now_ns)
        self._runtime.carry_out(self._world.set_fault(fault, now_ns))
        return fault.listed()

    async def clear_faults(self, _: web.Request) -> object:
        """End all faults."""
        for fault in self._world.faults.active():
            self._runtime.carry_out(self._world.clear_fault(fault.service, fault.kind))
        return {}

    async def clear_fault(self, request: web.Request) -> object:
        """End one fault."""
        effects = self._world.clear_fault(request.match_info["service"], request.match_info["kind"])
        self._runtime.carry_out(effects)
        return {}

    async def deposits(self, _: web.Request) -> object:
        """Show all deposits of the bridge."""
        return {"deposits": [{"id": key, **deposit.listed} for key, deposit in self._world.bridge.deposits.items()]}

    async def make_deposit(self, request: web.Request) -> object:
        """Let coins arrive on another chain."""
        body = await read_json(request)
        deposit = self._world.bridge.deposit(
            account_id=_text(body.get("account_id"), "account_id"),
            chain=_text(body.get("chain"), "chain"),
            amount=_positive(body, "amount"),
            min_amount=_positive(body, "min") if "min" in body else None,
            now_ns=self._runtime.now_ns(),
            token_id=_text(body["token_id"], "token_id") if "token_id" in body else None,
        )
        return {"id": deposit.deposit_id, **deposit.listed}

    async def credit_deposit(self, request: web.Request) -> object:
        """Let the bridge credit a deposit in the next block."""
        deposit = self._world.bridge.deposits.get(request.match_info["deposit"])
        if deposit is None:
            raise web.HTTPNotFound(text=encode_json({"error": "no such deposit"}), content_type="application/json")
        self._world.bridge.credit(deposit)
        return {"id": deposit.deposit_id, "mint_tx_hash": deposit.mint_tx_hash}

    async def pause_takers(self, *, paused: bool) -> object:
        """Stop or restart the configured takers; `POST /demands` is not affected."""
        self._world.takers_paused = paused
        self._runtime.carry_out([])
        return {"takers_paused": paused}

    async def judge(self, request: web.Request) -> object:
        """Give the world's verdict on one account or on all that traded."""
        account, height = request.query.get("account_id"), self._world.chain.head.height
        accounts = self._world.judge.accounts if account is None else [account]
        return {"accounts": {who: self._world.judge.verdict(who, height=height) for who in accounts}}


@web.middleware
async def _refusals_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (DemandError, FaultError, BridgeRefusedError) as refusal:
        return json_response({"error": str(refusal)}, status=400)


def _bad(reason: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=encode_json({"error": reason}), content_type="application/json")


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise _bad(f"{name} is required")
    return value


def _positive(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not str(value).isdigit() or not int(value):
        raise _bad(f"{name} must be a positive integer")
    return int(value)


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "100")
    if not text.isdigit():
        raise _bad("limit must be a number")
    return max(1, min(int(text), _LIMIT))
