"""An operator decides how an offer ended that no block can judge."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from unrip.cli.client import ControlClient, settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, ReasonOption
from unrip.cli.terminal import write


class Outcome(StrEnum):
    """How the offer ended, by all that is known outside the desk."""

    LAPSED = "lapsed"
    SETTLED = "settled"


def resolve(
    command_id: Annotated[str, typer.Argument(help="The offer's command, as in `in_doubt` of the executor's state.")],
    outcome: Annotated[Outcome, typer.Option("--as", help="How it ended. Offers that share its nonce lapsed.")],
    reason: ReasonOption,
    config: ConfigOption = None,
) -> None:
    """End an offer that no block can judge any more, and release its hold. It is recorded before it takes effect.

    It is refused while the chain may still show the end. Look for the offer's hash in an explorer first: a wrong
    outcome here makes the ledger wrong.
    """
    client = ControlClient(settings_of(config))
    answer = client.act("trade-executor", "resolve", reason=reason, command_id=command_id, outcome=outcome.value)
    if not answer["applied"]:
        raise CommandFailed(f"trade-executor refused resolve: {answer['refusal']}", code=Exit.NO)
    write(f"{command_id} ends as {outcome} as you decided")
