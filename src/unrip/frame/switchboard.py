"""The switches of one service through its life, and the lease that may arm it again after a restart. Pure.

Every start is disarmed (R7). A surviving lease arms again only for the same build and configuration, after the service
was green for a while, counted and recorded first (blueprint, section 11).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from unrip import __version__
from unrip.domain.arming import ArmLease, Switches
from unrip.domain.pairs import Direction
from unrip.domain.status import ControlRecord, SwitchView
from unrip.frame.contract import (
    Control,
    Effect,
    Event,
    Log,
    Publish,
    Published,
    PublishFailed,
    SetTimer,
    TimerFired,
)
from unrip.frame.leases import FindLease, ForgetLease, LeaseFound, LeaseUsed, LeaseUsedUp, PersistLease, UseLease
from unrip.frame.life import Life
from unrip.frame.switching import LEASE_TIMER, end_of_lease, lease_timer, switch, switch_state
from unrip.messages.topics import CONTROL_ACTION

#: The token of the record that arms again.
REARM = "rearm"
_LOOK_TIMER, _RECORD_TIMER = "rearm_look", "rearm_record"
_LOOK_EVERY = timedelta(seconds=1)

#: Whether nothing but arming stands in the way of trading in these directions.
Green = Callable[[tuple[Direction, ...]], bool]


class Switchboard(Life):
    """The life of a service that can be armed: what a service's logic asks before it acts, and tells what happened."""

    def __init__(
        self,
        *,
        service: str,
        configuration_hash: str,
        rearm_after: timedelta,
        account: str | None = None,
    ) -> None:
        super().__init__()
        self._service = service
        self._account = account
        self._configuration_hash = configuration_hash
        self._rearm_after = rearm_after
        #: A lease of an earlier life that may still arm; any action on the switches ends that.
        self._surviving: ArmLease | None = None
        self._green_since: datetime | None = None
        self._record: Publish | None = None

    def begin(self) -> list[Effect]:
        """Look for a lease that an earlier life may have left, as the service begins to work."""
        return [FindLease()]

    def follow(self, control: Control, now: datetime) -> dict[str, str] | None:
        """What a control would make of the switches, and what is an action of every service."""
        switches = self._after(control, now)
        return super().follow(control, now) if switches is None else switch_state(switches, now)

    def act(self, control: Control, now: datetime) -> list[Effect] | None:
        """Take a control in, None when it is not about the switches.

        Only `resume` leaves a surviving lease alone. Even a pause forgets it: a crash must not undo a pause.
        """
        switches = self._after(control, now)
        if switches is None:
            return None
        self.switches = switches
        if control.action == "resume":
            return []
        effects = self.brake()
        if control.action == "arm" and switches.lease is not None:
            effects += lease_timer(switches)
            if switches.lease.survives_restart:
                effects.append(PersistLease(lease=switches.lease))
        return effects

    def _after(self, control: Control, now: datetime) -> Switches | None:
        return switch(self.switches, control, now, configuration_hash=self._configuration_hash)

    def brake(self) -> list[Effect]:
        """Forget the lease after a brake, perhaps one that is no switch: nothing arms again after a restart."""
        self._surviving = self._record = None
        return [ForgetLease()]

    def end(self) -> list[Effect]:
        """What was permitted was permitted for another state of things: only a person who has looked arms again."""
        armed = self.switches.lease is not None
        self.switches = self.switches.disarmed()
        body = {"actor": "itself", "reason": "what it was armed for may not be so any more"}
        line = Log(event="disarmed", level="warning", component="arming", body=body)
        return [*self.brake(), *([line] if armed else [])]

    def on_lease(self, event: Event, now: datetime, green: Green) -> list[Effect]:
        """Take in what happened to leases; every other event means nothing here."""
        match event:
            case LeaseFound():
                return self._on_found(event.lease, now)
            case TimerFired(name=name) if name == LEASE_TIMER:
                self.switches, effects = end_of_lease(self.switches, now)
                return effects
            case TimerFired(name=name) if name == _LOOK_TIMER:
                return self._look(now, green)
            case TimerFired(name=name) if name == _RECORD_TIMER:
                return [self._record] if self._record else []
            case LeaseUsed() if self._surviving is not None:
                self._record = self._arm_record(self._surviving, now)
                return [self._record]
            case LeaseUsedUp():
                return self._give_up("it was armed this way too often in the last hour")
            case PublishFailed(token=token) if token == REARM and self._record is not None:
                return [SetTimer(name=_RECORD_TIMER, at=now + _LOOK_EVERY)]
            case Published(token=token) if token == REARM and self._record is not None:
                return self._arm_again(now)
        return []

    def disarmed(self, now: datetime) -> dict[str, str]:
        """The switches as they are after `end`."""
        return switch_state(self.switches.disarmed(), now)

    def control_state(self, now: datetime) -> dict[str, str]:
        """The switches as a control record shows them."""
        return switch_state(self.switches, now)

    def not_ready(self) -> list[str]:
        """Nothing that is switched off stands in the way of being switched on."""
        return ["draining"] if self.draining else []

    def view(self, now: datetime) -> SwitchView:
        """The switches for the next beat."""
        return SwitchView(
            halted=self.switches.halted,
            armed=self.switches.armed_directions(now),
            arm_expires_at=self.switches.lease.expires_at if self.switches.lease else None,
        )

    # --- arming again ----------------------------------------------------------------------------------------------

    def _on_found(self, lease: ArmLease, now: datetime) -> list[Effect]:
        if self.switches.lease is not None:
            return []  # somebody was quicker, and meant what he said
        if lease.configuration_hash != self._configuration_hash or lease.build != __version__:
            return self._give_up("it was given for another build or configuration")
        if now >= lease.expires_at:
            return self._give_up("it has ended")
        if doubt := lease.doubt(now):
            return self._give_up(doubt)
        self._surviving = lease
        return [SetTimer(name=_LOOK_TIMER, at=now + _LOOK_EVERY)]

    def _look(self, now: datetime, green: Green) -> list[Effect]:
        """Whether the service was green without interruption for long enough, as seen once a second."""
        if self._surviving is None:
            return []
        if now >= self._surviving.expires_at:
            return self._give_up("it has ended")
        self._green_since = (self._green_since or now) if green(self._surviving.directions) else None
        if self._green_since is not None and now - self._green_since >= self._rearm_after:
            return [UseLease()]
        return [SetTimer(name=_LOOK_TIMER, at=now + _LOOK_EVERY)]

    def _arm_record(self, lease: ArmLease, now: datetime) -> Publish:
        event_id = f"{self.start_id}-rearm"
        payload = ControlRecord(
            service=self._service,
            instance=self.start_id,
            action="arm",
            actor="surviving lease",
            reason=f"restarted; armed by {lease.actor}: {lease.reason}",
            arguments={"directions": ",".join(lease.directions), "survive_restart": "True"},
            before=self.control_state(now),
            after=switch_state(self.switches.armed(lease), now),
            acted_at=now,
            applied=True,
            reason_refused=None,
            account=self._account,
        )
        return Publish(
            topic=CONTROL_ACTION,
            event_id=event_id,
            payload=payload,
            observed_at=now,
            correlation_id=event_id,
            token=REARM,
        )

    def _arm_again(self, now: datetime) -> list[Effect]:
        lease, self._surviving, self._record = self._surviving, None, None
        if lease is None or now >= lease.expires_at:
            return []
        self.switches = self.switches.armed(lease)
        body = {"actor": "surviving lease", "reason": lease.reason}
        return [Log(event="armed", level="warning", component="arming", body=body), *lease_timer(self.switches)]

    def _give_up(self, why: str) -> list[Effect]:
        self._surviving = None
        body = {"reason": f"the lease of an earlier life does not arm again: {why}"}
        return [ForgetLease(), Log(event="disarmed", level="warning", component="arming", body=body)]
