"""An operator takes back what the executor believes of the chain."""

from __future__ import annotations

from unrip.cli.client import ControlClient, settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, ReasonOption
from unrip.cli.terminal import write


def undo_reading(reason: ReasonOption, config: ConfigOption = None) -> None:
    """Have trade-executor replace what it believes of the chain by its next reading; recorded before it acts.

    Use it for a height that was wrong when it was believed: the real chain is refused as `chain_went_back` since then.
    The ledger is quarantined, and the next node's answer is believed if it agrees with the clock.
    """
    client = ControlClient(settings_of(config))
    outcome = client.act("trade-executor", "undo-reading", reason=reason)
    if not outcome["applied"]:
        raise CommandFailed(f"trade-executor refused undo-reading: {outcome['refusal']}", code=Exit.NO)
    write("the next reading that agrees with the clock replaces what is believed; the ledger is in quarantine")
