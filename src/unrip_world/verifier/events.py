"""Event lines of the contracts (NEP-297), and the matching of a batch into transfers."""

from collections import defaultdict
from collections.abc import Mapping

from unrip_world.codec import encode_json
from unrip_world.verifier.errors import PanicError

#: Versions of contract release 0.4.2; they differ by release and nobody may compare them.
_VERSIONS = {"intents_executed": "0.3.1", "salt_rotation": "0.4.0"}
#: A longer line ends the call that would write it.
_LINE_BYTES_MAX = 16_384


def dip4(event: str, data: object) -> str:
    """One event line of the verifier itself."""
    return _line("dip4", _VERSIONS.get(event, "0.3.0"), event, data)


def nep245(event: str, data: object) -> str:
    """One event line of its multi-token balances."""
    return _line("nep245", "1.0.0", event, data)


def nep141(event: str, data: object) -> str:
    """One event line of a token contract."""
    return _line("nep141", "1.0.0", event, data)


def _line(standard: str, version: str, event: str, data: object) -> str:
    line = "EVENT_JSON:" + encode_json({"standard": standard, "version": version, "event": event, "data": data})
    if (size := len(line.encode())) > _LINE_BYTES_MAX:
        raise PanicError(f"The length of a log message {size} exceeds the limit {_LINE_BYTES_MAX}")
    return line


def present(**fields: object) -> dict[str, object]:
    """Drop what is absent: the contract omits empty options instead of writing null."""
    return {name: value for name, value in fields.items() if value is not None}


def texts(amounts: Mapping[str, int]) -> dict[str, str]:
    """Amounts as the decimal strings of the wire."""
    return {token: str(amount) for token, amount in amounts.items()}


def match_transfers(deltas: Mapping[tuple[str, str], int]) -> list[dict[str, object]]:
    """Explain the net changes {(account, token): delta} as transfers, the largest first.

    The contract names no intent in these, so a transfer is never a fill.
    """
    moves: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for token in sorted({token for _, token in deltas}):
        givers = _ranked({who: -delta for (who, of), delta in deltas.items() if of == token and delta < 0})
        takers = _ranked({who: delta for (who, of), delta in deltas.items() if of == token and delta > 0})
        while givers and takers:
            (giver, gives), (taker, takes) = givers[0], takers[0]
            amount = min(gives, takes)
            moves[giver, taker][token] = amount
            for queue, name, rest in ((givers, giver, gives - amount), (takers, taker, takes - amount)):
                queue[0] = (name, rest)
                if not rest:
                    queue.pop(0)
    return [
        {
            "old_owner_id": giver,
            "new_owner_id": taker,
            "token_ids": list(tokens),
            "amounts": [str(amount) for amount in tokens.values()],
        }
        for (giver, taker), tokens in moves.items()
    ]


def _ranked(amounts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(amounts.items(), key=lambda item: (-item[1], item[0]))
