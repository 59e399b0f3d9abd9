"""What an operator may ask of a service: its path, its arguments, and whether it is a brake. Plain data."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from unrip.domain.values import Value


class ReasonBody(BaseModel):
    """What every action needs: why it is done."""

    model_config = ConfigDict(extra="forbid")

    #: A NUL has no place in the database that keeps it.
    reason: str = Field(
        min_length=3, max_length=500, pattern=r"^[^\x00]*$", description="Why; it is recorded with the action."
    )


class Action(Value):
    """One action of a service."""

    #: Its path on the control surface.
    name: str
    summary: str
    #: The arguments it takes.
    body: type[ReasonBody] = ReasonBody
    #: Whether it only ever makes the desk do less, so that it acts before it is recorded and waits for nothing.
    brake: bool = False
    #: The log event once it was followed.
    log_event: str = "control_applied"


#: The actions every service has.
COMMON_ACTIONS = (
    Action(name="pause", summary="Do nothing new until resumed.", brake=True, log_event="paused"),
    Action(name="resume", summary="Go on after a pause.", log_event="resumed"),
    Action(
        name="drain",
        summary="Take nothing new, finish what is in flight; the process then waits to be stopped.",
        brake=True,
    ),
)
