"""The treasury's read side: what the bridge says about each chain, step by step, and the whole state each interval.

Nothing here moves money. The switches for withdrawals and rebalances are recorded state, off at every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from unrip.domain.pairs import Pair
from unrip.domain.treasury import (
    AddressAccepted,
    AddressChanged,
    AddressIssued,
    LiquidityAction,
    Step,
    Treasury,
)
from unrip.frame.conflated import Conflated
from unrip.frame.contract import (
    BusChanged,
    CaughtUp,
    Control,
    ControlRefused,
    Count,
    Effect,
    Event,
    Publish,
    Published,
    PublishFailed,
    RecordReceived,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
)
from unrip.frame.logic import Logic
from unrip.messages.topics import LIQUIDITY_ACTION, TREASURY
from unrip.services.liquidity_manager.addresses import Addresses, ChainAddress
from unrip.services.liquidity_manager.definition import STEPS_READ_BACK
from unrip.services.liquidity_manager.effects import ChainRead, ChainUnread, ReadChain
from unrip.services.liquidity_manager.state import LiquidityState
from unrip.services.liquidity_manager.steps import VENUE, Steps
from unrip.services.liquidity_manager.treasury import assets_by_chain, treasury_of

#: How long the first reading waits for what was published before; without Kafka it goes on without it.
READ_BACK_BOUND = timedelta(seconds=5)
#: How many steps may lack an acknowledgement; the rest is published with the next reading.
UNACKNOWLEDGED_MAX = 1_000
#: For how many intervals a chain may stay unread before the service is not ready.
INTERVALS_UNREAD_MAX = 3


class LiquidityManager(Logic):
    """Pure logic of liquidity-manager."""

    def __init__(self, *, pair: Pair, account: str, interval_s: int) -> None:
        self._account = account
        self._assets = assets_by_chain(pair)
        self._interval = timedelta(seconds=interval_s)
        self._addresses = Addresses(self._assets)
        self._steps = Steps(account, pair.other_tokens())
        self._outlet = Conflated(self.life)
        self._chains: dict[str, ChainRead] = {}
        self._failures: dict[str, str] = {}
        self._asking: set[str] = set()
        self._reading_back = {TREASURY.name, LIQUIDITY_ACTION.name}
        self._unacknowledged: set[str] = set()
        self._enabled = {"withdrawals": False, "rebalances": False}
        self._trackers_paused = False

    # --- events ----------------------------------------------------------------------------------------------------

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take one event in; see `frame/contract.py`."""
        match event:
            case ChainRead() | ChainUnread():
                return self._on_chain(event, now)
            case TimerFired(name="read"):
                return self._read(now)
            case RecordReceived():
                self._on_record(event)
            case CaughtUp():
                return self._on_caught_up(event, now)
            case Started():
                return self._on_started(now)
            case _:
                return self._on_surroundings(event)
        return []

    def _on_started(self, now: datetime) -> list[Effect]:
        return [
            Subscribe(topic=TREASURY, tail=1, until_end=True),
            Subscribe(topic=LIQUIDITY_ACTION, tail=STEPS_READ_BACK, until_end=True),
            SetTimer(name="read", at=now + READ_BACK_BOUND),
        ]

    def _on_record(self, record: RecordReceived) -> None:
        """Learn what an earlier life published."""
        payload, observed_at = record.message.payload, record.message.observed_at
        if payload.account != self._account:
            return
        if isinstance(payload, Treasury):
            for address in payload.addresses:
                if self._addresses.known(address.chain) is None:
                    self._addresses.learn(
                        ChainAddress(chain=address.chain, address=address.address, observed_at=address.observed_at)
                    )
        elif isinstance(payload, LiquidityAction):
            self._steps.learn(payload)
            self._learn_address(payload.step, observed_at)

    def _learn_address(self, step: Step, observed_at: datetime) -> None:
        if not isinstance(step, AddressIssued | AddressChanged | AddressAccepted):
            return
        known = ChainAddress(chain=step.chain, address=step.address, observed_at=observed_at)
        other = msgspec.structs.replace(known, address=step.other) if isinstance(step, AddressChanged) else None
        self._addresses.learn(known, other)

    def _on_caught_up(self, event: CaughtUp, now: datetime) -> list[Effect]:
        waited = bool(self._reading_back)
        self._reading_back.discard(event.topic)
        return self._read(now) if waited and not self._reading_back else []

    def _on_surroundings(self, event: Event) -> list[Effect]:
        match event:
            case BusChanged():
                return list(self._outlet.on_event(event))
            case Published():
                self._unacknowledged.discard(event.token)
                return list(self._outlet.on_event(event))
            case PublishFailed():
                if event.token in self._unacknowledged:
                    self._unacknowledged.discard(event.token)
                    self._steps.forget(event.token)
                return list(self._outlet.on_event(event))
        return []

    def _on_chain(self, answer: ChainRead | ChainUnread, now: datetime) -> list[Effect]:
        self._asking.discard(answer.chain)
        effects: list[Effect] = []
        if isinstance(answer, ChainUnread):
            self._failures[answer.chain] = answer.reason
            effects.append(Count(name="bridge_reads", labels={"outcome": "unread"}))
        else:
            self._failures.pop(answer.chain, None)
            self._chains[answer.chain] = answer
            named = ChainAddress(chain=answer.chain, address=answer.address, observed_at=answer.observed_at)
            self._addresses.told(named)
            effects += [Count(name="bridge_reads", labels={"outcome": "read"}), *self._tell(answer)]
        return effects if self._asking else [*effects, *self._publish(now)]

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        """Take an operator's action in."""
        subject, _, verb = control.action.partition("/")
        match (subject, verb):
            case ("pause" | "resume", ""):
                pass
            case ("trackers", "pause" | "resume"):
                self._trackers_paused = verb == "pause"
            case ("withdrawals" | "rebalances", "enable" | "disable"):
                self._enabled[subject] = verb == "enable"
            case ("refresh", ""):
                return self._refresh(control, now)
            case ("deposit-addresses", ""):
                return self._request_address(control, now)
            case _:
                return super().act(control, now)
        return [*self._ask(), *self._publish(now)]

    # --- controls --------------------------------------------------------------------------------------------------

    def _refresh(self, control: Control, now: datetime) -> list[Effect]:
        self.life.refuse_while_paused(or_where=self._trackers_paused)
        told = self._steps.refresh(self.life.numbered("refresh"), control.actor, now)
        return [*self._follow(told), *self._ask()]

    def _request_address(self, control: Control, now: datetime) -> list[Effect]:
        """Ask for the address of a chain; `accept` takes one of two that were named for it, spelt out."""
        chain, address = self._requested(control)
        accepted = [] if address is None else self._accept(address, control.actor, now)
        return [*accepted, *self._ask((chain,)), *self._publish(now)]

    def _requested(self, control: Control) -> tuple[str, ChainAddress | None]:
        """The chain, and the address that is accepted for it."""
        self.life.refuse_while_paused(or_where=self._trackers_paused)
        chain, accepted = control.arguments.get("chain"), control.arguments.get("accept")
        if chain not in self._assets:
            raise ControlRefused(f"chain must be one of: {', '.join(self._assets)}")
        named = {address.address: address for address in self._addresses.named(chain)}
        if accepted is None and named:
            known, other = map(repr, named)
            raise ControlRefused(f"two addresses were named for {chain}: check them and accept {known} or {other}")
        if accepted is None:
            return chain, None
        if accepted not in named:
            raise ControlRefused(f"{accepted!r} is not one of two addresses that were named for {chain}")
        return chain, named[accepted]

    def _accept(self, address: ChainAddress, actor: str, now: datetime) -> list[Effect]:
        """Take the operator's decision; a life that ends before a record is acknowledged leaves the doubt, no use."""
        self._addresses.accept(address)
        effects: list[Effect] = []
        for asset_id in self._assets[address.chain]:
            event_id = self.life.numbered("accept")
            effects += self._steps.accepted(event_id, address, asset_id, actor, now)
        return self._follow(effects)

    # --- asking and telling ----------------------------------------------------------------------------------------

    def _read(self, now: datetime) -> list[Effect]:
        """Ask about every chain; the state is published when all have answered, or now when nothing is asked."""
        self._reading_back.clear()
        asked = self._ask()
        return [*(asked or self._publish(now)), SetTimer(name="read", at=now + self._interval)]

    def _ask(self, chains: Sequence[str] = ()) -> list[Effect]:
        """Ask about chains (all by default), never twice at once."""
        if self.life.silent or self._trackers_paused:
            return []
        wanted = [chain for chain in chains or self._assets if chain not in self._asking]
        self._asking.update(wanted)
        return [ReadChain(chain=chain) for chain in wanted]

    def _tell(self, chain: ChainRead) -> list[Effect]:
        """Publish every step that is new. While the broker is away nothing is: the next reading repeats it."""
        if not self.life.bus_up:
            return []
        known, doubt = self._addresses.known(chain.chain), self._addresses.doubt(chain.chain)
        effects: list[Effect] = []
        if known is not None:
            for asset_id in self._assets[chain.chain]:
                effects += self._steps.address(known, doubt, asset_id)
        for deposit in chain.deposits:
            if len(self._unacknowledged) + len(effects) < UNACKNOWLEDGED_MAX:
                effects += self._steps.deposit(deposit, chain.observed_at)
        for withdrawal in chain.withdrawals:
            if len(self._unacknowledged) + len(effects) < UNACKNOWLEDGED_MAX:
                effects += self._steps.withdrawal(withdrawal, chain.observed_at)
        return self._follow(effects)

    def _follow(self, effects: list[Effect]) -> list[Effect]:
        """Remember the records among the effects until they are acknowledged."""
        self._unacknowledged.update(effect.token for effect in effects if isinstance(effect, Publish) and effect.token)
        return effects

    def _publish(self, now: datetime) -> list[Effect]:
        if self.life.paused or not self.life.start_id:
            return []
        event_id = self.life.numbered("treasury")
        treasury = self._treasury()
        record = Publish(
            topic=TREASURY,
            event_id=event_id,
            payload=treasury,
            observed_at=treasury.bridge_observed_at or now,
            correlation_id=event_id,
            venue=VENUE,
        )
        return list(self._outlet.publish(record))

    def _treasury(self) -> Treasury:
        return treasury_of(
            self._account,
            self._assets,
            self._chains,
            self._addresses.usable(),
            withdrawals_enabled=self._enabled["withdrawals"],
            rebalances_enabled=self._enabled["rebalances"],
            trackers_paused=self._trackers_paused,
        )

    # --- answers ---------------------------------------------------------------------------------------------------

    def state(self, now: datetime) -> LiquidityState:
        """Addresses, deposits, withdrawals and the switches."""
        del now
        return LiquidityState(
            paused=self.life.paused,
            deposit_addresses=self._addresses.state(),
            treasury=self._treasury(),
            chains_read_at={chain: read.observed_at for chain, read in self._chains.items()},
            failures=dict(self._failures),
            last_acknowledged=self._outlet.last_acknowledged_id,
        )

    def stands_in_the_way(self, now: datetime) -> list[str]:
        """Why new funding operations cannot be followed; funded trading goes on without us (R60)."""
        reasons = []
        oldest = min((self._read_at(chain) or now for chain in self._assets), default=now)
        if now - oldest > self._interval * INTERVALS_UNREAD_MAX:
            reasons.append("bridge_stale")
        if any(self._addresses.doubt(chain) for chain in self._assets):
            reasons.append("deposit_address_changed")
        if self._trackers_paused:
            reasons.append("paused")
        return reasons

    def _read_at(self, chain: str) -> datetime | None:
        read = self._chains.get(chain)
        return read.observed_at if read else self.life.started_at

    def controlled(self, now: datetime) -> dict[str, str]:
        """Every switch, and the addresses in use."""
        del now
        usable = {address.chain: address.address for address in self._addresses.usable()}
        return {
            "trackers_paused": str(self._trackers_paused).lower(),
            "withdrawals_enabled": str(self._enabled["withdrawals"]).lower(),
            "rebalances_enabled": str(self._enabled["rebalances"]).lower(),
            **{f"deposit_address {chain}": usable.get(chain, "none") for chain in self._assets},
        }

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        """What an action would change."""
        subject, _, verb = control.action.partition("/")
        match (subject, verb):
            case ("trackers", "pause" | "resume"):
                return {"trackers_paused": str(verb == "pause").lower()}
            case ("withdrawals" | "rebalances", "enable" | "disable"):
                return {f"{subject}_enabled": str(verb == "enable").lower()}
            case ("refresh", ""):
                self.life.refuse_while_paused(or_where=self._trackers_paused)
                return {}
            case ("deposit-addresses", ""):
                chain, address = self._requested(control)
                return {} if address is None else {f"deposit_address {chain}": address.address}
        return super().follow(control, now)

    def tightens(self, control: Control) -> bool:
        """Switching something off is a brake."""
        return control.action in {"trackers/pause", "withdrawals/disable", "rebalances/disable"}

    def idle(self) -> bool:
        """Every record is acknowledged or given up."""
        return self._outlet.idle and not self._unacknowledged
