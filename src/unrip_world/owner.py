"""What an account's owner does past the market maker: another tool of his signs with a key of its own."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nacl.signing import SigningKey

from unrip_world.chain.core import Chain
from unrip_world.codec import NS_PER_S
from unrip_world.relay.journal import Journal
from unrip_world.takers.core import Wallet, sign_intents
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.engine import has_key
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.keys import parse_public_key
from unrip_world.verifier.message import decode_message
from unrip_world.verifier.nonces import decode_nonce_text, decode_versioned, nonce_text
from unrip_world.verifier.payload import decode_payload
from unrip_world.verifier.state import NONCES

#: How long its intents are valid, unless their nonce ends earlier.
_LIFE_NS = 60 * NS_PER_S


class Owner:
    """Any key of an account can sign everything, so this one is as good as the market maker's."""

    def __init__(self, *, seed: int, verifier: Verifier, chain: Chain, journal: Journal) -> None:
        self._seed, self._verifier, self._chain, self._journal = seed, verifier, chain, journal

    def spend(
        self, account: str, nonces: Sequence[str], intents: Sequence[Mapping[str, Any]], *, now_ns: int
    ) -> list[str]:
        """Execute these intents, or none at all, under each nonce in the next block; gives the nonces.

        Without nonces it is those of all answers of the account that could still be executed.
        """
        tool = self._tool(account)
        if not has_key(self._verifier.storage.at(self._chain.head.height), account, parse_public_key(tool.public_key)):
            self._submit(account, "add_public_key", account_id=account, public_key=tool.public_key)
        spent = list(nonces) or list(dict.fromkeys(self._live(account, now_ns)))
        for nonce in map(decode_nonce_text, spent):
            parts = decode_versioned(nonce)
            deadline_ns = now_ns + _LIFE_NS if parts is None else min(now_ns + _LIFE_NS, parts.deadline_ns)
            signed = sign_intents(
                tool, intents, contract_id=self._verifier.contract_id, nonce=nonce, deadline_ns=deadline_ns
            )
            self._submit(account, "execute_intents", signed=[signed.payload])
        return spent

    def _tool(self, account: str) -> Wallet:
        key = SigningKey(hashlib.sha256(f"{self._seed}/owner/{account}".encode()).digest())
        return Wallet(account_id=account, key=key)

    def _live(self, account: str, now_ns: int) -> Iterator[str]:
        """The nonces of all that is outside with the account's signature, whatever the relay said to it."""
        state = self._verifier.storage.at(self._chain.head.height)
        for submission in self._journal.submissions:
            try:
                message = decode_message(decode_payload(submission.signed))
            except PanicError:
                continue
            used = state.get(NONCES, (account, message.nonce), default=False)
            if message.signer_id == account and message.deadline_ns >= now_ns and not used:
                yield nonce_text(message.nonce)

    def _submit(self, account: str, method: str, **arguments: object) -> None:
        self._chain.submit(signer_id=account, method=method, arguments=arguments)
