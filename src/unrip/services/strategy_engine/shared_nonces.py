"""The live nonces of own commands that further offers may join."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from unrip.domain.attempt import AttemptState, Rejection, TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.demand import SwapDemand
from unrip.domain.sharing import SharedNonce, Sharing, group_alike, group_of_all

#: Offers that ended like this were never sent, so the nonce goes on without them.
_UNSEEN = {AttemptState.REJECTED, AttemptState.DROPPED}


@dataclass
class SharedNonces:
    """The newest joinable nonce of each group.

    Built from own commands and their results, also after a restart. Where it knows too little, as before the results
    are read back, the executor decides: it rejects an offer whose nonce has ended.
    """

    #: The commands that carry the newest nonce of each group.
    _newest: dict[str, list[TradeCommand]] = field(default_factory=dict)
    #: The group of each command above.
    _group_of: dict[str, str] = field(default_factory=dict)

    def add(self, command: TradeCommand) -> None:
        """Add a command that was decided or read back; known ones are counted once."""
        group = command.nonce_group
        if group is None or command.command_id in self._group_of:
            return
        carrying = self._newest.setdefault(group, [])
        if carrying and carrying[0].nonce != command.nonce:
            self._forget(group)
            carrying = self._newest.setdefault(group, [])
        carrying.append(command)
        self._group_of[command.command_id] = group

    def ended(self, result: TradeResult) -> None:
        """Note that a command has its terminal result. A fill or a death ends the nonce; the next offer starts anew."""
        group = self._group_of.get(result.command_id)
        if group is None or not result.state.terminal:
            return
        rest = [command for command in self._newest[group] if command.command_id != result.command_id]
        if result.state in _UNSEEN and result.reason != Rejection.NONCE_ENDED and rest:
            self._newest[group] = rest
            del self._group_of[result.command_id]
        else:
            self._forget(group)

    def sharing(self, demand: SwapDemand, now: datetime) -> Sharing:
        """What an offer for this demand could join."""
        for group in [group for group, carrying in self._newest.items() if _last_deadline(carrying) <= now]:
            self._forget(group)
        alike = group_alike(demand)
        return Sharing(
            alike=None if alike is None else self._shared(alike), pool=self._shared(group_of_all(demand.asset_out))
        )

    def _shared(self, group: str) -> SharedNonce | None:
        carrying = self._newest.get(group)
        if carrying is None:
            return None
        first = carrying[0]
        return SharedNonce(
            group=group,
            opener=first.nonce_made_by,
            nonce=first.nonce,
            salt=first.salt,
            nonce_deadline=first.nonce_deadline,
            amount=max(command.amount_out for command in carrying),
            last_deadline=_last_deadline(carrying),
        )

    def _forget(self, group: str) -> None:
        for command in self._newest.pop(group):
            del self._group_of[command.command_id]


def _last_deadline(carrying: list[TradeCommand]) -> datetime:
    return max(command.offer_deadline for command in carrying)
