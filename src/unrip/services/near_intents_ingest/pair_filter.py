"""Which pairs are asked for and passed on; an operator may change it at run time."""

from __future__ import annotations

import re
from typing import Any

from unrip.domain.pairs import Direction, Pair
from unrip.domain.values import Value, shown
from unrip.frame.contract import ControlRefused
from unrip.services.near_intents_ingest.state import PairFilterState
from unrip.venues.near_intents.relay import QUOTE, Stream

#: How many pairs one subscription may have, so that it stays readable.
PAIRS_MAX = 20
_ID = r"nep(?:141|171|245):[\x21-\x2e\x30-\x7e]{1,200}"
_TWO_IDS = re.compile(f"({_ID})/({_ID})")


class PairFilter(Value):
    """The active pairs: configured ones, which become demands, and any two asset ids, which are recorded for study.

    `disable` asks the relay for everything: quotes outside the pairs are then seen and counted, still never decided.
    """

    configured: dict[str, Pair]
    active: tuple[str, ...]
    #: The pairs by name, as an operator wrote them.
    studied: dict[str, tuple[str, str]] = {}
    enabled: bool = True

    @classmethod
    def of(cls, pairs: tuple[Pair, ...]) -> PairFilter:
        """The filter of the configuration."""
        configured = {pair.name: pair for pair in pairs}
        return cls(configured=configured, active=tuple(configured))

    def changed(self, arguments: dict[str, Any]) -> PairFilter:
        """The filter after a `pair-filter` control: `mode` is `set` (with `pairs`), `disable` or `reset`.

        Raises:
            ControlRefused: another mode, or what is neither a configured pair nor two asset ids.

        """
        match arguments.get("mode"):
            case "set":
                active, studied = self._read(arguments.get("pairs"))
                return PairFilter(configured=self.configured, active=active, studied=studied)
            case "disable" | "reset" as mode:
                return PairFilter(configured=self.configured, active=tuple(self.configured), enabled=mode == "reset")
        raise ControlRefused("mode must be 'set', 'disable' or 'reset'")

    def match(self, asset_in: str, asset_out: str) -> tuple[Pair, Direction] | None:
        """The active pair of a quote and its direction."""
        for name in self.active:
            pair = self.configured[name]
            direction = pair.direction_of(asset_in, asset_out)
            if direction is not None:
                return pair, direction
        return None

    def in_other_tokens(self, asset_in: str, asset_out: str) -> bool:
        """Whether it would be a configured pair's quote, were another token of the same coin the one that is traded."""
        for pair in self.configured.values():
            tokens = pair.other_tokens()
            meant = [tokens[each].asset_id if each in tokens else each for each in (asset_in, asset_out)]
            if meant != [asset_in, asset_out] and pair.direction_of(*meant) is not None:
                return True
        return False

    def studied_pair(self, asset_in: str, asset_out: str) -> str | None:
        """The pair of a quote that is recorded and goes no further."""
        return next((name for name, ids in self.studied.items() if {asset_in, asset_out} == set(ids)), None)

    def stream(self) -> Stream:
        """The quote subscription that asks for no more than the filter lets through."""
        assets = [asset.asset_id for name in self.active for asset in self.configured[name].assets()]
        assets += [asset_id for ids in self.studied.values() for asset_id in ids]
        return Stream(name=QUOTE, tokens=tuple(dict.fromkeys(assets)) if self.enabled else ())

    def control_state(self) -> str:
        """The filter as one text, for a control record."""
        return ",".join((*self.active, *self.studied)) if self.enabled else "disabled"

    def state(self) -> PairFilterState:
        """For `GET /state`."""
        return PairFilterState(
            mode="enabled" if self.enabled else "disabled",
            pairs=tuple(self.active),
            studied_pairs=tuple(self.studied),
            configured_pairs=tuple(self.configured),
            tokens=tuple(self.stream().tokens),
        )

    def _read(self, names: object) -> tuple[tuple[str, ...], dict[str, tuple[str, str]]]:
        """The configured pairs among these, by name or by ids, and the others."""
        wanted = [names] if isinstance(names, str) else names
        if not isinstance(wanted, list | tuple) or not 0 < len(wanted) <= PAIRS_MAX:
            raise ControlRefused(f"pairs must be one to {PAIRS_MAX} of them")
        active: dict[str, None] = {}
        studied: dict[str, tuple[str, str]] = {}
        for name in wanted:
            ids = self._ids(name)
            ours = [pair.name for pair in self.configured.values() if ids and pair.direction_of(*ids) is not None]
            if ids is None or ours:
                active[ours[0] if ours else name] = None
            else:
                studied[name] = ids
        return tuple(active), studied

    def _ids(self, name: object) -> tuple[str, str] | None:
        """The two asset ids in a text; None where it names a configured pair."""
        if isinstance(name, str) and name in self.configured:
            return None
        found = _TWO_IDS.fullmatch(name) if isinstance(name, str) else None
        if found is None or found[1] == found[2]:
            raise ControlRefused(
                f"{shown(name)} is neither two asset ids, as nep141:a.near/nep141:b.near, "
                f"nor one of: {', '.join(self.configured)}"
            )
        return found[1], found[2]
