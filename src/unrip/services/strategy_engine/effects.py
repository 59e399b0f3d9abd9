"""Effects and events that only the strategy knows."""

from __future__ import annotations

from unrip.domain.policy import Policy
from unrip.domain.values import Value


class RememberPolicy(Value):
    """Effect: keep the policy as an append-only row by its hash, so that its decisions can be recomputed."""

    policy: Policy
    actor: str
    reason: str
