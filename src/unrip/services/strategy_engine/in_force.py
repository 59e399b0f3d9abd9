"""Which limits are in force, and whether a restart would find them. Pure.

What only tightens acts at once and is kept in PostgreSQL after: a brake waits for nothing. Anything else is kept first
and acts when that is acknowledged, so that no restart finds limits tighter than those that were traded under.
"""

from __future__ import annotations

from unrip.domain.policy import Policy
from unrip.service.contract import Control, ControlRefused, Event, Withdrawn
from unrip.services.strategy_engine.effects import PolicyKept, RememberPolicy
from unrip.services.strategy_engine.limits import changed_policy, tightens


class PolicyInForce:
    """The policy that decides now, the one that waits for being kept, and how far PostgreSQL is."""

    def __init__(self, configured: Policy) -> None:
        self.configured = configured
        self.now = configured
        self._looser: Policy | None = None
        self._generation = 0
        #: Changes are numbered; PostgreSQL keeps them in this order.
        self._changes = 0
        self._changes_kept = 0

    @property
    def asked(self) -> Policy:
        """What operators asked for last: in force, or as soon as it is kept."""
        return self._looser or self.now

    @property
    def kept(self) -> bool:
        """Whether PostgreSQL has acknowledged everything."""
        return self._changes_kept == self._changes

    def recalled(self, policy: Policy | None, generation: int) -> RememberPolicy:
        """Begin with what an earlier life left; None when that is the configured one."""
        self.now, self._generation = policy or self.configured, generation
        reason = "configuration" if policy is None else "as before the start"
        return self._remember(self.now, actor="start", reason=reason)

    def change(self, control: Control, *, database_up: bool) -> RememberPolicy:
        """Follow a `threshold` or `limits` control.

        Raises:
            ControlRefused: see `changed_policy`; or it loosens something, and that cannot be kept now.

        """
        changed = changed_policy(self.now, control)
        if tightens(self.now, control):
            self.now, self._looser = changed, None
        elif not database_up:
            raise ControlRefused("PostgreSQL is away, and what loosens a limit acts only once it is kept: try again")
        elif not self.kept:
            raise ControlRefused("an earlier change of the limits is not kept yet: try again")
        else:
            self._looser = changed
        return self._remember(changed, actor=control.actor, reason=control.reason)

    def on_event(self, event: Event) -> list[RememberPolicy]:
        """Take in what became of changes; every other event means nothing here."""
        match event:
            case PolicyKept():
                self._on_kept(event)
            case Withdrawn():
                return self._withdraw()
        return []

    def _on_kept(self, event: PolicyKept) -> None:
        self._changes_kept = event.change
        if self.kept and self._looser is not None:
            self.now, self._looser = self._looser, None

    def _withdraw(self) -> list[RememberPolicy]:
        """What is in force is kept once more, above what is not to come into force after a restart either."""
        if self._looser is None:
            return []
        self._looser = None
        return [self._remember(self.now, actor="strategy-engine", reason="a looser limit was withdrawn")]

    def _remember(self, policy: Policy, *, actor: str, reason: str) -> RememberPolicy:
        self._changes += 1
        return RememberPolicy(
            policy=policy,
            base=self.configured.hash,
            generation=self._generation,
            change=self._changes,
            actor=actor,
            reason=reason,
        )
