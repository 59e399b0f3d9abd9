"""When an executor without its role leaves the relay to whoever has it; the key stays, so that a halt still works."""

from __future__ import annotations

from datetime import datetime, timedelta

from unrip.service.contract import STANDBY, Effect, SetTimer
from unrip.services.trade_executor.effects import CloseRelay, OpenRelay

TIMER = "leave_relay"
#: A role that stays lost for this long may be another's: then the relay's notices are not for us.
_LEAVE_AFTER = timedelta(seconds=10)


class Standing:
    """Whether the role is ours."""

    def __init__(self) -> None:
        self.aside = True

    def without_role(self, why: str, now: datetime) -> list[Effect]:
        """Another instance gets the relay at once; where none is known, we may be back before anybody misses us."""
        lost, self.aside = not self.aside, True
        if why == STANDBY:
            return [CloseRelay()]
        return [SetTimer(name=TIMER, at=now + _LEAVE_AFTER)] if lost else []

    def with_role(self) -> list[Effect]:
        """Keep the connection to the relay up, from now on or again."""
        back, self.aside = self.aside, False
        return [OpenRelay()] if back else []

    def on_timer(self) -> list[Effect]:
        """The time is over."""
        return [CloseRelay()] if self.aside else []
