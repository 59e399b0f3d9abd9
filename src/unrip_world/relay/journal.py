"""What the relay remembers for reports: frames received, and a score per solver. All bounded."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unrip_world.codec import decode_json

SUBMISSIONS_KEPT = 20_000
_LATENCIES_KEPT = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """One `quote_response` frame, byte for byte."""

    solver: str
    quote_id: str | None
    quote_hash: str | None
    received_ns: int
    raw: str

    @property
    def signed(self) -> object:
        """What was signed, if the frame has it where it belongs."""
        return signed_in(decode_json(self.raw))


def signed_in(request: Mapping[str, Any]) -> object:
    """Give the signed data of a `quote_response`."""
    match request.get("params"):
        case [{"signed_data": signed}, *_]:
            return signed
    return None


@dataclass(kw_only=True)
class SolverScore:
    """Counts of one solver since the start."""

    counts: Counter[str] = field(default_factory=Counter)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))

    def report(self) -> dict[str, Any]:
        """Give the counts and the latency from publishing to the answer."""
        names = ("answers", "late", "refused", "declined", "wins", "settlements", "failures")
        ordered = sorted(self.latencies_ms)
        return {
            **{name: self.counts[name] for name in names},
            "latency_p50_ms": _quantile(ordered, 50),
            "latency_p99_ms": _quantile(ordered, 99),
        }


def _quantile(ordered: list[float], percent: int) -> float | None:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else None


@dataclass(kw_only=True)
class Journal:
    """The relay's memory."""

    submissions: deque[Submission] = field(default_factory=lambda: deque(maxlen=SUBMISSIONS_KEPT))
    scores: dict[str, SolverScore] = field(default_factory=dict)

    def count(self, solver: str, what: str, *, by: int = 1) -> None:
        """Change one count of a solver."""
        self.scores.setdefault(solver, SolverScore()).counts[what] += by

    def timed(self, solver: str, latency_ms: float) -> None:
        """Record how long an answer took."""
        self.scores.setdefault(solver, SolverScore()).latencies_ms.append(latency_ms)
