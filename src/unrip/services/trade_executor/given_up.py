"""What forbids the first byte of an answer whose claim is committed."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.arming import Switches
from unrip.domain.attempt import Drop, Offer


def given_up(offer: Offer, now: datetime, switches: Switches, *, ready: bool) -> Drop | None:
    """What happened while the claim was being committed; None where the answer may go.

    `ready`: the socket that it was claimed for is still the one there is, and may carry answers.
    """
    if switches.halted:
        return Drop.HALTED
    if offer.direction not in switches.armed_directions(now):
        return Drop.DISARMED
    if switches.paused:
        return Drop.PAUSED
    if now >= offer.answer_by:
        return Drop.WINDOW_CLOSED
    return None if ready else Drop.SOCKET_GONE
