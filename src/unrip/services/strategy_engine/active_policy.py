"""Which limits are in force, and whether a restart would find them. Nothing here does I/O.

What only tightens acts at once and is kept in PostgreSQL after: a brake waits for nothing. Anything else is kept first
and acts when that is acknowledged, so that no restart finds limits tighter than those that were traded under.
"""

from __future__ import annotations

from collections import deque

from unrip.domain.policy import Policy
from unrip.frame.contract import ChangeCancelled, Control, ControlRefused, Event
from unrip.services.strategy_engine.effects import PolicyPersisted, RememberPolicy
from unrip.services.strategy_engine.limits import changed_policy, permitted, tightens, tightest, told_policy

#: How many changes of one life are kept again.
REMEMBERED_MAX = 100
_TOLD = "tightened before the start, as its record on Kafka shows"


class ActivePolicy:
    """The policy that decides now, the one that waits for being kept, and how far PostgreSQL is."""

    def __init__(self, configured: Policy) -> None:
        self.configured = configured
        self.now = configured
        self._looser: Policy | None = None
        self._generation = 0
        #: The number of the last change; PostgreSQL keeps changes in this order.
        self._changes = 0
        self._changes_kept = 0
        #: The changes that this life had kept, to be kept again: the database may come back as it was before.
        self._remembered: deque[RememberPolicy] = deque(maxlen=REMEMBERED_MAX)
        #: What an earlier life's last record of a control shows, until the policy in force is recalled.
        self._told: Policy | None = None
        self._recalled = False

    @property
    def asked(self) -> Policy:
        """The limits that operators asked for last: in force, or as soon as they are kept."""
        return self._looser or self.now

    @property
    def kept(self) -> bool:
        """Whether PostgreSQL has acknowledged everything."""
        return self._changes_kept == self._changes

    def recalled(self, policy: Policy | None, generation: int) -> RememberPolicy:
        """Begin with what an earlier life left; None when that is the configured one."""
        self.now = self.configured if policy is None else permitted(self.configured, policy)
        self._generation, self._recalled = generation, True
        reason = "configuration" if policy is None else "as before the start"
        if self._told is not None and (tight := tightest(self.now, self._told)) != self.now:
            self.now, reason = tight, _TOLD
        return self._remember(self.now, actor="start", reason=reason)

    def told(self, state: dict[str, str]) -> list[RememberPolicy]:
        """What an earlier life's record of a control shows: a limit that it tightened holds, whatever PostgreSQL has.

        The database may be a copy of an earlier moment, or the process may have ended before the limit was kept.
        """
        self._told = told_policy(self.configured, state) or self._told
        if not self._recalled or self._told is None or (tight := tightest(self.now, self._told)) == self.now:
            return []
        self.now, self._looser = tight, None
        return [self._remember(tight, actor="start", reason=_TOLD)]

    def again(self) -> list[RememberPolicy]:
        """Keep everything again in a new session; what PostgreSQL has already stays."""
        return list(self._remembered)

    def after(self, control: Control, *, database_up: bool) -> Policy:
        """The policy that a `threshold` or `limits` control asks for.

        Raises:
            ControlRefused: see `changed_policy`; or it loosens something, and that cannot be kept now.

        """
        changed = changed_policy(self.now, control)
        if not tightens(self.now, control):
            if not database_up:
                raise ControlRefused(
                    "PostgreSQL is away, and what loosens a limit acts only once it is kept: try again"
                )
            if not self.kept:
                raise ControlRefused("an earlier change of the limits is not kept yet: try again")
        return changed

    def change(self, control: Control, *, database_up: bool) -> RememberPolicy:
        """Follow such a control; see `after`."""
        changed = self.after(control, database_up=database_up)
        if tightens(self.now, control):
            self.now, self._looser = changed, None
        else:
            self._looser = changed
        return self._remember(changed, actor=control.actor, reason=control.reason)

    def on_event(self, event: Event) -> list[RememberPolicy]:
        """Take in the outcome of changes; other events have no meaning here."""
        match event:
            case PolicyPersisted():
                self._on_kept(event)
            case ChangeCancelled():
                return self._withdraw()
        return []

    def _on_kept(self, event: PolicyPersisted) -> None:
        self._changes_kept = max(event.change, self._changes_kept)
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
        self._remembered.append(self._change(policy, actor=actor, reason=reason))
        return self._remembered[-1]

    def _change(self, policy: Policy, *, actor: str, reason: str) -> RememberPolicy:
        return RememberPolicy(
            policy=policy,
            base=self.configured.hash,
            generation=self._generation,
            change=self._changes,
            actor=actor,
            reason=reason,
        )
