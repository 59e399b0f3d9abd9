"""What the records of inventory and funding say, held against the world's own ledger, and what is decided on them."""

from __future__ import annotations

from datetime import datetime

from simulation.violation import Violation
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.demand import SwapDemand
from unrip.domain.inventory import IntentInventory
from unrip.domain.treasury import DepositState, DepositStep, LiquidityAction, WithdrawalState, WithdrawalStep
from unrip.domain.values import epoch_ms
from unrip_world.verifier.state import BALANCES, LOCKS, SETTINGS
from unrip_world.world import World

_NS_PER_MS = 1_000_000
#: Balances may be ten seconds old where something is decided on them; the rest is for the clock's last digits.
_DECIDED_WITHIN_MS = 10_500
#: What two clocks may differ by (`clock_ahead_max_ms`): no command gives itself more time than its demand, beyond this.
_CLOCKS_APART_MS = 250


class Told:
    """The newest of what was told. Every method may raise `Violation`."""

    def __init__(self, world: World, *, account: str) -> None:
        self._world, self._account = world, account
        self._inventories: dict[str, IntentInventory] = {}
        self._answer_by: dict[str, datetime] = {}
        self.last_inventory: IntentInventory | None = None

    def demand(self, demand: SwapDemand) -> None:
        """A demand, and how long its answers are taken."""
        self._answer_by.setdefault(demand.quote_id, demand.answer_by)

    def inventory(self, event_id: str, inventory: IntentInventory) -> None:
        """A snapshot tells what the contract says at a final block, which has the height and the time that it names."""
        if inventory.height > self._world.chain.final.height:
            raise Violation(f"moved: a snapshot of block {inventory.height}, which is not final")
        self._inventories[event_id] = self.last_inventory = inventory
        view = self._world.verifier.storage.at(inventory.height)
        for asset, credited in inventory.credited.items():
            if credited != (true := view.get(BALANCES, (self._account, asset), 0)):
                raise Violation(f"moved: {credited} of {asset} told of block {inventory.height}, where it is {true}")
        said = {
            "fee": inventory.fee_pips,
            "salt": bytes.fromhex(inventory.salt),
            "paused": inventory.contract_paused,
            "locked": inventory.account_locked,
        }
        true_of = {name: view.get(SETTINGS, name) for name in ("fee", "salt", "paused")}
        true_of["locked"] = bool(view.get(LOCKS, self._account, False))
        if said != true_of:
            raise Violation(f"moved: block {inventory.height} is told to have {said}, and it has {true_of}")

    def action(self, action: LiquidityAction) -> None:
        """What is told as credited has been minted, and what is told as paid out was, each in that amount."""
        step, bridge = action.step, self._world.bridge
        if isinstance(step, WithdrawalStep) and step.state is WithdrawalState.FINISHED:
            burned = (each for found in bridge.withdrawals.values() for each in found)
            if not any(each.amount == step.amount and each.status in {"COMPLETED", "RETURNED"} for each in burned):
                raise Violation(f"moved: withdrawal {action.action_id} is told as finished, and it is not")
        if not isinstance(step, DepositStep) or step.state not in {DepositState.CREDITED, DepositState.COMPLETED}:
            return
        deposits = bridge.deposits.values()
        if not any(each.mint_tx_hash == step.mint_tx_hash and each.amount == step.amount for each in deposits):
            raise Violation(f"moved: deposit {action.action_id} is told as {step.name}, and nothing was minted")

    def decided(self, decision: Decision) -> None:
        """What is accepted rests on balances that the world had a moment ago."""
        inventory = self._inventories.get(decision.inventory_id or "")
        if not decision.accepted or inventory is None:
            return
        block = self._world.chain.block(inventory.height)
        age_ms = 0 if block is None else epoch_ms(decision.decided_at) - block.timestamp_ns // _NS_PER_MS
        if age_ms > _DECIDED_WITHIN_MS:
            raise Violation(
                f"fresh: quote {decision.quote_id} was accepted on balances of {age_ms / 1_000:.1f} s before"
            )

    def commanded(self, command: TradeCommand) -> None:
        """A command gives itself no more time than its demand has."""
        answer_by = self._answer_by.get(command.quote_id)
        beyond_ms = 0 if answer_by is None else epoch_ms(command.answer_by) - epoch_ms(answer_by)
        if beyond_ms > _CLOCKS_APART_MS:
            raise Violation(f"late: command {command.command_id} may be answered {beyond_ms} ms after its window")
