"""An operator takes back what the executor believes of the chain."""

from __future__ import annotations

from unrip.cli.client import ControlClient, settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, ReasonOption
from unrip.cli.terminal import say


def undo_reading(reason: ReasonOption, config: ConfigOption = None) -> None:
    """Have trade-executor replace what it believes of the chain by its next reading. Recorded before it takes effect.

    For a height that was wrong when it was believed: the real chain is refused as `chain_went_back` since then. The
    ledger is quarantined, and what the next node says is believed if it agrees with the clock.
    """
    client = ControlClient(settings_of(config))
    told = client.act("trade-executor", "undo-reading", reason=reason)
    if not told["applied"]:
        raise CommandFailed(f"trade-executor refused undo-reading: {told['refusal']}", code=Exit.NO)
    say("the next reading that agrees with the clock replaces what is believed; the ledger is in quarantine")
