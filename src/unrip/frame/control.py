"""What happens when an operator acts.

The brake acts first and is recorded after; everything else is recorded first and acts after (blueprint, section 11).
So it is with what a restart must find again, too: a brake acts before it is kept, anything else after.
The logic says what an action would change before it is recorded; of a brake, what it has changed is looked at after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from unrip.domain.status import ControlRecord
from unrip.domain.values import Value
from unrip.frame.action import Action
from unrip.frame.contract import ChangeCancelled, Control, ControlRefused, Log, Publish
from unrip.frame.publisher import Publisher
from unrip.frame.runner import Runner
from unrip.frame.spool import Spool
from unrip.messages.topics import CONTROL_ACTION

#: How long an answer waits until what it changed is kept; a statement that is not stuck takes milliseconds.
KEPT_BOUND_S = 3.0


class ControlOutcome(Value):
    """The answer to the operator."""

    applied: bool
    before: dict[str, str]
    after: dict[str, str]
    #: `published`, `spooled` (Kafka is away; it will be published later) or `not_recorded`.
    recorded: str
    #: Whether a restart would find everything again that such actions changed; None for actions that change no limit.
    #: Where it is False, a process that dies now may begin with what was asked for before, also if that was refused.
    kept: bool | None
    refusal: str | None


class Controls:
    """Follow and record the actions of operators."""

    def __init__(
        self,
        runner: Runner,
        publisher: Publisher,
        spool: Spool,
        *,
        service: str,
        actions: Iterable[Action],
        start_id: str,
        clock: Callable[[], datetime],
        bus_up: Callable[[], bool],
        log: Callable[[Log], None],
        record_bound_s: float,
        kept_bound_s: float,
        account: str | None = None,
    ) -> None:
        self._runner = runner
        self._publisher = publisher
        self._spool = spool
        self._service = service
        self._account = account
        self._actions = {action.name: action for action in actions}
        self._start_id = start_id
        self._clock = clock
        self._bus_up = bus_up
        self._log = log
        self._record_bound_s = record_bound_s
        self._kept_bound_s = kept_bound_s
        self._sequence = 0
        self._brakes_pulled = 0
        #: The outcome of the action that acts only once it is kept: None when it is, or why it was cancelled.
        self._keeping: asyncio.Future[str | None] | None = None
        self._emptying = asyncio.Lock()
        #: Something was spooled that the broker has not taken since.
        self._spooled = False

    async def act(self, control: Control) -> ControlOutcome:
        """Follow one action; a refusal is an outcome, too, and is recorded like one."""
        brakes = self._actions[control.action].brake or self._runner.logic.tightens(control)
        return await (self._brake(control) if brakes else self._record_then_act(control))

    async def _brake(self, control: Control) -> ControlOutcome:
        """Act before anything else is found out; nothing that cannot be read or recorded keeps a brake from acting."""
        before = self._seen()
        self._brakes_pulled += 1
        overtakes = self._end_wait(
            "a brake was pulled while this was being kept, so it was not followed; look again first"
        )
        refusal = self._runner.act(control)
        if overtakes:
            self._runner.emit(ChangeCancelled())
        if refusal is not None:
            return await self._refuse(control, before, refusal)
        after = self._seen()
        self._say_followed(control)
        record = self._record(control, before, after, refusal=None)
        recorded, kept = await asyncio.gather(self._record_after(record), self._kept_in_time(control))
        return ControlOutcome(applied=True, before=before, after=after, recorded=recorded, kept=kept, refusal=None)

    async def _record_then_act(self, control: Control) -> ControlOutcome:
        """Whatever is no brake acts once the broker has its record, if nothing stands in its way by then."""
        logic, now = self._runner.logic, self._clock()
        before = logic.control_state(now)
        try:
            changes = logic.follow(control, now)
        except ControlRefused as refusal:
            return await self._refuse(control, before, str(refusal))
        record = self._record(control, before, {**before, **changes}, refusal=None)
        brakes_before = self._brakes_pulled
        if not await self._published(record):
            refusal_text = "it cannot be recorded while Kafka does not acknowledge, so it was not followed; try again"
            return await self._refuse(control, before, refusal_text)
        if self._brakes_pulled != brakes_before:
            refusal_text = "a brake was pulled while this was being recorded, so it was not followed; look again first"
            return await self._refuse(control, before, refusal_text)
        if (why_not := self._runner.act(control)) is not None:  # it could be followed when it was asked for
            return await self._refuse(control, before, why_not)
        after = logic.control_state(self._clock())
        if (why_not := await self._kept_or_cancelled(control)) is not None:
            return await self._refuse(control, before, why_not)
        self._say_followed(control)
        kept = logic.kept(control)
        return ControlOutcome(applied=True, before=before, after=after, recorded="published", kept=kept, refusal=None)

    async def _kept_in_time(self, control: Control) -> bool | None:
        """For an action already in effect: whether it is kept for a restart, waiting at most the bound."""
        logic = self._runner.logic
        kept = self._runner.when(lambda: logic.kept(control) is not False)
        await asyncio.wait([kept], timeout=self._kept_bound_s)
        kept.cancel()
        return logic.kept(control)

    async def _kept_or_cancelled(self, control: Control) -> str | None:
        """For an action that takes effect once it is kept: None then, or why it was cancelled."""
        logic = self._runner.logic
        if logic.kept(control) is not False:
            return None
        self._keeping = self._runner.when(lambda: logic.kept(control) is not False)
        too_late = asyncio.get_running_loop().call_later(
            self._kept_bound_s, self._withdraw, "it was not kept in time, so it was not followed; try again"
        )
        try:
            return await self._keeping
        finally:
            too_late.cancel()
            self._keeping = None

    def _withdraw(self, why: str) -> None:
        if self._end_wait(why):
            self._runner.emit(ChangeCancelled())

    def _end_wait(self, why: str) -> bool:
        """End the wait of an action that acts only once it is kept, if one waits."""
        if self._keeping is None or self._keeping.done():
            return False
        self._keeping.set_result(why)
        return True

    def _seen(self) -> dict[str, str]:
        """What controls can change, before and after a brake; a state that cannot be read is told as unknown."""
        try:
            return self._runner.logic.control_state(self._clock())
        except Exception as fault:  # whatever it is, the brake comes first
            return {"unknown": f"the state cannot be read: {type(fault).__name__}"}

    def _say_followed(self, control: Control) -> None:
        self._log(
            Log(
                event=self._actions[control.action].log_event,
                component="control",
                body={"action": control.action, "actor": control.actor, "reason": control.reason},
            )
        )

    async def _refuse(self, control: Control, before: dict[str, str], refusal: str) -> ControlOutcome:
        self._log(
            Log(
                event="control_failed",
                level="warning",
                component="control",
                body={"action": control.action, "actor": control.actor, "refusal": refusal},
            )
        )
        recorded = await self._record_after(self._record(control, before, before, refusal=refusal))
        kept = self._runner.logic.kept(control)
        return ControlOutcome(applied=False, before=before, after=before, recorded=recorded, kept=kept, refusal=refusal)

    def _record(
        self, control: Control, before: dict[str, str], after: dict[str, str], *, refusal: str | None
    ) -> Publish:
        self._sequence += 1
        now = self._clock()
        event_id = f"{self._start_id}-control-{self._sequence}"
        payload = ControlRecord(
            service=self._service,
            instance=self._start_id,
            action=control.action,
            actor=control.actor,
            reason=control.reason,
            arguments={name: _text(value) for name, value in control.arguments.items()},
            before=before,
            after=after,
            acted_at=now,
            applied=refusal is None,
            reason_refused=refusal,
            account=self._account,
        )
        return Publish(
            topic=CONTROL_ACTION, event_id=event_id, payload=payload, observed_at=now, correlation_id=event_id
        )

    async def _record_after(self, record: Publish) -> str:
        """Record what has happened already; a file keeps it while Kafka is away."""
        if await self._published(record):
            return "published"
        if not self._spool.keep(record):
            return "not_recorded"
        self._spooled = True
        return "spooled"

    async def _published(self, record: Publish) -> bool:
        if not self._bus_up():
            return False
        acknowledged: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def delivered(offset: int | None, _error: str | None) -> None:
            if not acknowledged.done():
                acknowledged.set_result(offset is not None)

        self._publisher.produce(record, delivered)
        try:
            return await asyncio.wait_for(acknowledged, self._record_bound_s)
        except TimeoutError:
            return False

    @property
    def spool_waits(self) -> bool:
        """A record of the spool is to be published, and nobody is at it."""
        return self._spooled and not self._emptying.locked()

    async def publish_spooled(self) -> None:
        """Publish what the spool kept, oldest first; called at start, when Kafka is back, and while something waits.

        One at a time: two would each forget a record for every one that was published.
        """
        async with self._emptying:
            try:
                for record in self._spool.kept():
                    if not await self._published(record):
                        self._spooled = True
                        return
                    self._spool.drop_first()
                self._spooled = False
            except OSError as error:  # what stays in the file is published again, under the same id
                self._spooled = False
                body = {"reason": f"{error.strerror}; its records go out when Kafka is next back"}
                self._log(Log(event="spool_unusable", level="error", component="control", body=body))


def _text(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
