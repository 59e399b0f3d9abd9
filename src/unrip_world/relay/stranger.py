"""A stranger who gets hold of solvers' signed answers and executes them himself, past the relay."""

from dataclasses import dataclass
from random import Random

from unrip_world.chain.core import Chain
from unrip_world.takers.core import Wallet, sign_diff
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fees import closure_delta
from unrip_world.verifier.message import Message, TokenDiff, decode_message
from unrip_world.verifier.payload import decode_payload
from unrip_world.verifier.state import SETTINGS


@dataclass(frozen=True, kw_only=True, slots=True)
class _Leak:
    due_ns: int
    signed: object


class Stranger:
    """Signs the exact counterpart of what he overheard and sends both to the verifier, without a notice to anybody."""

    def __init__(self, *, wallet: Wallet, verifier: Verifier, chain: Chain, ids: Random) -> None:
        self._wallet, self._verifier, self._chain, self._ids = wallet, verifier, chain, ids
        self._leaks: list[_Leak] = []

    def overhear(self, signed: object, *, due_ns: int) -> None:
        """Remember an answer that is to be executed at this time."""
        self._leaks.append(_Leak(due_ns=due_ns, signed=signed))

    def next_at_ns(self) -> int | None:
        """When he acts next."""
        return min((leak.due_ns for leak in self._leaks), default=None)

    def advance(self, now_ns: int) -> None:
        """Send what is due."""
        due = [leak for leak in self._leaks if leak.due_ns <= now_ns]
        self._leaks = [leak for leak in self._leaks if leak.due_ns > now_ns]
        for leak in due:
            self._execute(leak.signed, now_ns)

    def _execute(self, signed: object, now_ns: int) -> None:
        try:
            message = decode_message(decode_payload(signed))
        except PanicError:
            # No signed intent at all: nothing that anybody could execute.
            return
        state = self._verifier.storage.at(self._chain.head.height)
        own = sign_diff(
            self._wallet,
            _counterpart(message, fee_pips=state.get(SETTINGS, "fee")),
            contract_id=self._verifier.contract_id,
            salt=state.get(SETTINGS, "salt"),
            rng=self._ids,
            now_ns=now_ns,
        )
        self._chain.submit(
            signer_id=self._wallet.account_id,
            method="execute_intents",
            arguments={"signed": [signed, own.payload]},
        )


def _counterpart(message: Message, *, fee_pips: int) -> dict[str, int]:
    """Give what one counterparty must sign so that the batch balances, fees included."""
    diffs = (intent.diff for intent in message.intents if isinstance(intent, TokenDiff))
    return {token: closure_delta(token, delta, fee_pips) for diff in diffs for token, delta in diff.items()}
