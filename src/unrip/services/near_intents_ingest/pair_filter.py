"""Which pairs are asked for and passed on; an operator may change it at run time."""

from __future__ import annotations

from typing import Any

from unrip.domain.pairs import Direction, Pair
from unrip.service.contract import ControlRefused
from unrip.venues.near_intents.relay import QUOTE, Stream


class PairFilter:
    """The active pairs, all of them configured ones.

    `disable` asks the relay for everything: quotes outside the pairs are then seen and counted, still never decided.
    """

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self._configured = {pair.name: pair for pair in pairs}
        self._active = tuple(self._configured)
        self._enabled = True

    def change(self, arguments: dict[str, Any]) -> None:
        """Follow a `pair-filter` control: `mode` is `set` (with `pairs`), `disable` or `reset`.

        Raises:
            ControlRefused: another mode, or a pair that is not configured.

        """
        match arguments.get("mode"):
            case "set":
                self._active, self._enabled = self._known(arguments.get("pairs")), True
            case "disable":
                self._active, self._enabled = tuple(self._configured), False
            case "reset":
                self._active, self._enabled = tuple(self._configured), True
            case _:
                raise ControlRefused("mode must be 'set', 'disable' or 'reset'")

    def match(self, asset_in: str, asset_out: str) -> tuple[Pair, Direction] | None:
        """The active pair of a quote and its direction."""
        for name in self._active:
            pair = self._configured[name]
            direction = pair.direction_of(asset_in, asset_out)
            if direction is not None:
                return pair, direction
        return None

    def stream(self) -> Stream:
        """The quote subscription that asks for no more than the filter lets through."""
        assets = [asset.asset_id for name in self._active for asset in self._configured[name].assets()]
        return Stream(name=QUOTE, tokens=tuple(dict.fromkeys(assets)) if self._enabled else ())

    def control_state(self) -> str:
        """The filter in one word, as a control record shows it."""
        return ",".join(self._active) if self._enabled else "disabled"

    def state(self) -> dict[str, Any]:
        """For `GET /state`."""
        return {
            "mode": "enabled" if self._enabled else "disabled",
            "pairs": list(self._active),
            "configured_pairs": list(self._configured),
            "tokens": list(self.stream().tokens),
        }

    def _known(self, names: object) -> tuple[str, ...]:
        wanted = [names] if isinstance(names, str) else names
        if not isinstance(wanted, list | tuple) or not wanted or not set(wanted) <= self._configured.keys():
            raise ControlRefused(f"pairs must be some of: {', '.join(self._configured)}")
        return tuple(dict.fromkeys(wanted))
