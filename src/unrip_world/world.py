"""All cores together under one clock that somebody else reads: the whole outside of a market maker, without any I/O."""

from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from unrip_world.bridge.core import Bridge
from unrip_world.chain.core import Chain
from unrip_world.config import WorldSettings
from unrip_world.demands import Demand
from unrip_world.effects import Disconnect, Effect
from unrip_world.exchange.coingecko import CoinGecko
from unrip_world.exchange.kraken import Kraken
from unrip_world.exchange.walk import Walk
from unrip_world.faults import NODES, Fault, Faults, read_fault
from unrip_world.genesis import genesis_of
from unrip_world.judge import Judge
from unrip_world.owner import Owner
from unrip_world.relay.auction import Auction
from unrip_world.relay.core import Relay
from unrip_world.relay.rpc import AskerDesk
from unrip_world.relay.stranger import Stranger
from unrip_world.rpc.core import NearRpc
from unrip_world.script import read_script
from unrip_world.takers.core import CONTROL_TAKER, STRANGER, Ask, Taker, Wallet, decide, sign_diff, wallet
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.state import BALANCES, NONCES, SETTINGS

ADMIN_ACCOUNT = "admin.world.near"
_FAULTS_KEPT = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RememberedFault:
    """A fault in force, as it can be set again."""

    body: dict[str, Any]
    until_ns: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldMemory:
    """What is remembered of the world as a whole."""

    born_ns: int
    advanced_ns: int
    takers_paused: bool
    faults: list[RememberedFault]


class World:
    """The simulated venue. `advance(now)` does all that is due by then; other input comes through a core's method.

    Prices and takers depend on the seed alone. Ids and transaction hashes also depend on the instant of the start, so
    that a restarted world does not repeat the quote ids of the one before. `born_ns` is the first start of a world that
    goes on; what it remembers is put back by `memory.parts`.
    """

    def __init__(
        self,
        settings: WorldSettings,
        *,
        script: Sequence[Mapping[str, Any]] = (),
        demands: Sequence[Mapping[str, Any]] = (),
        now_ns: int,
        born_ns: int | None = None,
    ) -> None:
        self.settings, self.born_ns = settings, now_ns if born_ns is None else born_ns
        seed, self._pair = settings.seed, settings.pair
        # A later life of the same world has chances of its own, else it would ask and move as the first one did.
        life = f"{seed}" if born_ns is None else f"{seed}/{now_ns}"
        self._ids = Random(f"{seed}/ids/{now_ns}")  # noqa: S311  (a simulation must repeat)
        self.faults = Faults()
        self.fault_log: deque[tuple[int, Fault]] = deque(maxlen=_FAULTS_KEPT)
        self.control_wallet, stranger = wallet(CONTROL_TAKER, seed=seed), wallet(STRANGER, seed=seed)
        self.verifier = _verifier(settings, [self.control_wallet, stranger])
        self.chain = _chain(settings, self.verifier, now_ns)
        self.walk = Walk(settings=settings.market, rng=Random(f"{life}/walk"), now_ns=now_ns)  # noqa: S311
        self.kraken = Kraken(walk=self.walk, market=self._pair.kraken, faults=self.faults, rng=self._ids)
        self.coingecko = CoinGecko(
            walk=self.walk,
            pair=self._pair,
            settings=settings.market,
            faults=self.faults,
            rng=Random(f"{life}/coingecko"),  # noqa: S311
            now_ns=now_ns,
        )
        self.stranger = Stranger(wallet=stranger, verifier=self.verifier, chain=self.chain, ids=self._ids)
        self.relay = Relay(
            settings=settings.relay,
            verifier=self.verifier,
            chain=self.chain,
            faults=self.faults,
            stranger=self.stranger,
            ids=self._ids,
        )
        self.askers = AskerDesk(relay=self.relay, verifier=self.verifier, chain=self.chain, faults=self.faults)
        #: Two nodes of one chain, each with its own faults.
        self.nodes = {service: self._node(service) for service in NODES}
        self.near_rpc = self.nodes["rpc"]
        self.bridge = Bridge(
            chain=self.chain,
            pair=self._pair,
            faults=self.faults,
            credit_after_s=settings.bridge.credit_after_s,
            withdraw_after_s=settings.bridge.withdraw_after_s,
        )
        self.judge = Judge(verifier=self.verifier)
        self.owner = Owner(seed=seed, verifier=self.verifier, chain=self.chain, journal=self.relay.journal)
        self.takers = [Taker(settings=taker, seed=seed, life=life, now_ns=now_ns) for taker in settings.takers]
        self.takers_paused = False
        self._asks: dict[str, Ask] = {}
        self._script = read_script(faults=script, demands=demands, now_ns=self.born_ns)
        self._advanced_ns = now_ns

    def _node(self, service: str) -> NearRpc:
        return NearRpc(
            service,
            chain=self.chain,
            verifier=self.verifier,
            faults=self.faults,
            structured_view_errors=self.settings.chain.structured_view_errors,
        )

    def memory(self) -> WorldMemory:
        """Give what is remembered of the world as a whole."""
        faults = [RememberedFault(body=fault.listed(), until_ns=fault.until_ns) for fault in self.faults.active()]
        return WorldMemory(
            born_ns=self.born_ns, advanced_ns=self._advanced_ns, takers_paused=self.takers_paused, faults=faults
        )

    def resume(self, memory: WorldMemory) -> None:
        """Go on with what was wrong, and with what the script has not done yet."""
        self.takers_paused, self._advanced_ns = memory.takers_paused, memory.advanced_ns
        self._script = [step for step in self._script if step[0] > memory.advanced_ns]
        for told in memory.faults:
            fault = replace(read_fault(told.body, now_ns=memory.advanced_ns), until_ns=told.until_ns)
            self.faults.set(fault)
            if (fault.service, fault.kind) == ("chain", "final_lag"):
                self.chain.final_lag_blocks = fault.parameters["blocks"]

    # -- time

    def next_at_ns(self) -> int:
        """When something is due next."""
        return min(self._moments())

    def _moments(self) -> Iterator[int]:
        yield self.chain.next_block_at_ns
        yield self.walk.next_at_ns
        yield self.coingecko.next_at_ns
        for moment in (self.relay.next_at_ns(), self.stranger.next_at_ns(), self.faults.next_expiry_ns()):
            if moment is not None:
                yield moment
        if not self.takers_paused:
            yield from (taker.next_at_ns for taker in self.takers)
        if self._script:
            yield self._script[0][0]

    def advance(self, now_ns: int) -> list[Effect]:
        """Do everything that is due by now."""
        effects: list[Effect] = []
        while self.next_at_ns() <= now_ns:
            effects += self._step(now_ns)
        return effects

    def _step(self, now_ns: int) -> list[Effect]:
        self._advanced_ns = now_ns
        effects: list[Effect] = []
        while self._script and self._script[0][0] <= now_ns:
            effects += self._enact(self._script.pop(0)[1], now_ns)
        for fault in self.faults.expired(now_ns):
            effects += self.clear_fault(fault.service, fault.kind)
        if self.walk.next_at_ns <= now_ns:
            effects += self.kraken.on_tick(self.walk.advance(now_ns), now_ns)
        if self.coingecko.next_at_ns <= now_ns:
            self.coingecko.advance(now_ns)
        self.stranger.advance(now_ns)
        if self.chain.next_block_at_ns <= now_ns:
            self._produce_block(now_ns)
        for taker in self.takers:
            if not self.takers_paused and taker.next_at_ns <= now_ns:
                effects += self._publish(
                    taker.ask(pair=self._pair, eur_per_base=self.walk.tick.mid, now_ns=now_ns), now_ns
                )
        for auction in self.relay.closed(now_ns):
            effects += self._conclude(auction, now_ns)
        return [*effects, *self.relay.advance(now_ns)]

    def _enact(self, step: Fault | Demand, now_ns: int) -> list[Effect]:
        return self.set_fault(step, now_ns) if isinstance(step, Fault) else self.demand(step, now_ns)[1]

    def _produce_block(self, now_ns: int) -> None:
        block = self.chain.produce(now_ns)
        self.relay.on_block(block, now_ns)
        self.bridge.on_block(block)
        self.bridge.advance(now_ns)
        self.judge.on_block(block)

    def _reorganise(self, blocks: int, *, requeue: bool) -> None:
        """Let the last blocks vanish, as far as they are not final, for everybody who acted on them."""
        gone = self.chain.unfinal(blocks)
        for block in gone:
            self.relay.on_revert(block, lost=not requeue)
            self.bridge.on_revert(block, lost=not requeue)
            self.judge.on_revert(block)
        self.chain.reorganise(gone, requeue=requeue)

    # -- demands

    def _publish(self, ask: Ask, now_ns: int) -> list[Effect]:
        request = ask.request(quote_id=self.relay.new_id(), fee_pips=self.askers.fee_pips)
        self._asks[request.quote_id] = ask
        return self.relay.publish(request, now_ns)

    def demand(self, demand: Demand, now_ns: int) -> tuple[str, list[Effect]]:
        """Publish a demand of the control endpoint or the script; gives its quote id."""
        quote_id = self.relay.new_id()
        if demand.raw:
            return quote_id, self.relay.publish(demand.request(quote_id, self._pair), now_ns)
        ask = demand.ask(self.control_wallet, self._pair)
        self._asks[quote_id] = ask
        return quote_id, self.relay.publish(ask.request(quote_id=quote_id, fee_pips=self.askers.fee_pips), now_ns)

    def _conclude(self, auction: Auction, now_ns: int) -> list[Effect]:
        """Let whoever asked decide."""
        ask = self._asks.pop(auction.request.quote_id, None)
        if ask is None:
            return self.askers.on_closed(auction)
        fee_pips, eur_per_base = self.askers.fee_pips, self.walk.tick.mid
        decision = decide(ask, auction, fee_pips=fee_pips, pair=self._pair, eur_per_base=eur_per_base)
        if decision is not None:
            signed = sign_diff(
                ask.wallet,
                decision.diff,
                contract_id=self.verifier.contract_id,
                salt=self.verifier.storage.at(self.chain.head.height).get(SETTINGS, "salt"),
                rng=self._ids,
                now_ns=now_ns,
            )
            self.relay.accept(auction, decision.offer, taker=signed.payload, intent_hash=signed.intent_hash)
        return []

    # -- the ledger, as its administrators and givers of gifts reach it

    def submit(self, method: str, **arguments: object) -> str:
        """Queue a direct call on the verifier for the next block; gives the transaction hash."""
        return self.chain.submit(signer_id=ADMIN_ACCOUNT, method=method, arguments=arguments)

    def balances(self, account: str, *, height: int) -> dict[str, str]:
        """Give all balances of an account at a height."""
        held = self.verifier.storage.at(height).items(BALANCES)
        return {token: str(amount) for (who, token), amount in held if who == account}

    # -- faults

    def set_fault(self, fault: Fault, now_ns: int) -> list[Effect]:
        """Let something go wrong."""
        self.fault_log.append((now_ns, fault))
        if fault.momentary:
            return self._strike(fault, now_ns)
        self.faults.set(fault)
        return self._changed(fault, begins=True)

    def clear_fault(self, service: str, kind: str) -> list[Effect]:
        """End a fault, if it is in force."""
        fault = self.faults.clear(service, kind)
        return [] if fault is None else self._changed(fault, begins=False)

    def _changed(self, fault: Fault, *, begins: bool) -> list[Effect]:
        match fault.service, fault.kind:
            case "verifier", "pause":
                self.submit("set_paused", paused=begins)
            case "verifier", "lock":
                self.submit("set_locked", account_id=fault.parameters["account_id"], locked=begins)
            case "chain", "final_lag":
                usual = self.settings.chain.final_lag_blocks
                self.chain.final_lag_blocks = fault.parameters["blocks"] if begins else usual
            case "relay", "withhold_settlement" | "stay_pending" if not begins:
                self.relay.settlements.release()
            case "kraken", "system_status":
                return self.kraken.on_status_changed()
            case service, "down" if begins:
                return [Disconnect(service=service)]
        return []

    def _strike(self, fault: Fault, now_ns: int) -> list[Effect]:
        parameters = fault.parameters
        match fault.service, fault.kind:
            case service, "disconnect":
                return [Disconnect(service=service, code=parameters["close_code"], reason=parameters["reason"])]
            case "relay", "leak":
                self.relay.leak(parameters["quote_hash"], now_ns)
            case "relay", "false_status":
                return self.relay.tell_falsely(parameters["quote_hash"], now_ns)
            case "relay", _:
                return self.relay.broadcast(parameters["text"])
            case "verifier", "spend_nonces":
                account, intents = parameters["account_id"], parameters["intents"]
                self.owner.spend(account, parameters["nonces"], intents, now_ns=now_ns)
            case "chain", _:
                self._reorganise(parameters["blocks"], requeue=parameters["requeue"])
            case "kraken", _:
                return self.kraken.on_tick(self.walk.jump(parameters["mid"], now_ns), now_ns)
            case "verifier", kind:
                self._call_verifier(kind, parameters)
        return []

    def _call_verifier(self, kind: str, parameters: Mapping[str, Any]) -> None:
        """Do in the next block what an administrator, an owner or a giver would."""
        match kind:
            case "rotate_salt":
                self.submit("rotate_salt", salt=self._ids.randbytes(4).hex(), invalidate=parameters["invalidate"])
            case "set_fee":
                self.submit("set_fee", fee_pips=parameters["pips"])
            case "gift" | "withdraw":
                method = "mt_mint" if kind == "gift" else "mt_burn"
                self.submit(method, **{**parameters, "amount": str(parameters["amount"])})
            case "cleanup_nonces":
                account = parameters["account_id"]
                nonces = parameters["nonces"] or self._used_nonces(account)
                self.submit(kind, account_id=account, nonces=nonces)
            case _:
                methods = {"add_key": "add_public_key", "remove_key": "remove_public_key"}
                self.submit(methods[kind], **parameters)

    def _used_nonces(self, account: str) -> list[str]:
        """Give an account's used nonces, which nobody who writes a script can know."""
        used = self.verifier.storage.at(self.chain.head.height).items(NONCES)
        return [b64encode(nonce).decode() for (who, nonce), is_used in used if who == account and is_used]


def _verifier(settings: WorldSettings, endowed: Sequence[Wallet]) -> Verifier:
    return Verifier(
        contract_id=settings.verifier.contract_id,
        genesis=genesis_of(settings, endowed),
        height=settings.chain.genesis_height,
        keep_blocks=settings.chain.keep_blocks,
    )


def _chain(settings: WorldSettings, verifier: Verifier, now_ns: int) -> Chain:
    chain = settings.chain
    return Chain(
        verifier=verifier,
        genesis_height=chain.genesis_height,
        block_ms=chain.block_ms,
        final_lag_blocks=chain.final_lag_blocks,
        keep_blocks=chain.keep_blocks,
        now_ns=now_ns,
    )
