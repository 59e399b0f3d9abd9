"""Takers: when and what they ask, which offer they accept, and the intent that they sign for it."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import base58
from nacl.signing import SigningKey

from unrip_world.assets import Pair
from unrip_world.codec import NS_PER_MS, NS_PER_S, ns_to_rfc3339
from unrip_world.config import TakerSettings
from unrip_world.relay.auction import DEFAULT_MIN_DEADLINE_MS, Auction, Offer, QuoteRequest
from unrip_world.verifier.fees import gross_for, net_of
from unrip_world.verifier.nonces import VersionedNonce
from unrip_world.verifier.preimages import nep413_digest

#: The built-in taker behind `POST /demands`.
CONTROL_TAKER = "control"
#: Who executes what leaks; no taker, but with a wallet like one.
STRANGER = "stranger"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wallet:
    """A taker's account in the verifier and its key, both made from the world's seed."""

    account_id: str
    key: SigningKey

    @property
    def public_key(self) -> str:
        """The key as the contract writes it."""
        return "ed25519:" + base58.b58encode(bytes(self.key.verify_key)).decode()


def wallet(name: str, *, seed: int) -> Wallet:
    """Make the wallet of a taker."""
    key = SigningKey(hashlib.sha256(f"{seed}/taker/{name}".encode()).digest())
    return Wallet(account_id=f"{name}.taker.near", key=key)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What a taker wants, in its own numbers (what leaves or reaches its account), and what it would accept."""

    wallet: Wallet
    asset_in: str
    asset_out: str
    amount_in: int | None
    amount_out: int | None
    #: How much worse than fair value the trade may be; None accepts nothing.
    limit_pct: Decimal | None
    min_deadline_ms: int | None = DEFAULT_MIN_DEADLINE_MS
    min_wait_ms: int | None = None
    max_wait_ms: int | None = None
    protocol_fee_included: bool | None = None
    partner_id: str | None = None
    dry: bool = False

    def request(self, *, quote_id: str, fee_pips: int) -> QuoteRequest:
        """Give the published form: the fixed amount as the solver must sign it, after or before the fee."""
        amount_in, amount_out = self.amount_in, self.amount_out
        return QuoteRequest(
            quote_id=quote_id,
            asset_in=self.asset_in,
            asset_out=self.asset_out,
            exact_amount_in=None if amount_in is None else str(net_of(self.asset_in, amount_in, fee_pips)),
            exact_amount_out=None if amount_out is None else str(gross_for(self.asset_out, amount_out, fee_pips)),
            min_deadline_ms=self.min_deadline_ms,
            min_wait_ms=self.min_wait_ms,
            max_wait_ms=self.max_wait_ms,
            protocol_fee_included=self.protocol_fee_included,
            dry=self.dry,
            metadata={} if self.partner_id is None else {"partner_id": self.partner_id},
        )

    def own_amounts(self, offer: Offer, *, fee_pips: int) -> tuple[int, int]:
        """Give what the taker gives and gets if it takes this offer: both fees fall on its side."""
        gives = gross_for(self.asset_in, offer.amount_in, fee_pips) if self.amount_in is None else self.amount_in
        return gives, net_of(self.asset_out, offer.amount_out, fee_pips)

    def accepts(self, offer: Offer, *, fee_pips: int, pair: Pair, eur_per_base: Decimal) -> bool:
        """Whether the offer is within the taker's limit."""
        if self.limit_pct is None or not {self.asset_in, self.asset_out} <= pair.assets().keys():
            return False
        gives, gets = self.own_amounts(offer, fee_pips=fee_pips)
        gives_eur = pair.euro_value(self.asset_in, gives, eur_per_base=eur_per_base)
        gets_eur = pair.euro_value(self.asset_out, gets, eur_per_base=eur_per_base)
        if self.amount_in is None:
            return gives_eur * 100 <= gets_eur * (100 + self.limit_pct)
        return gets_eur * 100 >= gives_eur * (100 - self.limit_pct)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIntent:
    """A taker's signed intent and its hash."""

    payload: Mapping[str, Any]
    intent_hash: str


def sign_diff(
    who: Wallet, diff: Mapping[str, int], *, contract_id: str, salt: bytes, rng: Random, now_ns: int
) -> SignedIntent:
    """Sign a token_diff that is valid for two minutes."""
    deadline_ns = (now_ns // NS_PER_MS + 120_000) * NS_PER_MS
    nonce = VersionedNonce(salt=salt, deadline_ns=deadline_ns, random=rng.randbytes(15)).encode()
    intent = {"intent": "token_diff", "diff": {token: str(delta) for token, delta in diff.items()}}
    return sign_intents(who, [intent], contract_id=contract_id, nonce=nonce, deadline_ns=deadline_ns)


def sign_intents(
    who: Wallet, intents: Sequence[Mapping[str, Any]], *, contract_id: str, nonce: bytes, deadline_ns: int
) -> SignedIntent:
    """Sign any intents under a nonce; the deadline is cut to milliseconds."""
    body = {"deadline": ns_to_rfc3339(deadline_ns, digits=3), "intents": intents, "signer_id": who.account_id}
    message = json.dumps(body, separators=(",", ":"))
    digest = nep413_digest(message=message, nonce=nonce, recipient=contract_id, callback_url=None)
    payload = {
        "standard": "nep413",
        "payload": {"message": message, "nonce": base64.b64encode(nonce).decode(), "recipient": contract_id},
        "public_key": who.public_key,
        "signature": "ed25519:" + base58.b58encode(who.key.sign(digest).signature).decode(),
    }
    return SignedIntent(payload=payload, intent_hash=base58.b58encode(digest).decode())


class Taker:
    """One configured taker: a seeded stream of asks."""

    def __init__(self, *, settings: TakerSettings, seed: int, life: str, now_ns: int) -> None:
        self._settings = settings
        self._rng = Random(f"{life}/taker/{settings.name}")  # noqa: S311  (a simulation must repeat)
        self._wallet = wallet(settings.name, seed=seed)
        self.next_at_ns = now_ns + self._pause_ns()

    def _pause_ns(self) -> int:
        """Give the configured interval, give or take a third, so that takers do not march in step."""
        every_ns = int(self._settings.every_s * NS_PER_S)
        return self._rng.randint(every_ns * 2 // 3, every_ns * 4 // 3)

    def ask(self, *, pair: Pair, eur_per_base: Decimal, now_ns: int) -> Ask:
        """Make the next ask and set the time of the one after it."""
        settings, rng = self._settings, self._rng
        self.next_at_ns = now_ns + self._pause_ns()
        factor = Decimal(repr(rng.lognormvariate(0, float(settings.sigma))))
        eur = min(settings.median_eur * factor, settings.max_eur)
        asset_in, asset_out = pair.exchanged(settings.direction)
        exact_out = Decimal(repr(rng.random())) < settings.exact_out_share
        fixed = max(1, pair.amount_worth(asset_out if exact_out else asset_in, eur, eur_per_base=eur_per_base))
        return Ask(
            wallet=self._wallet,
            asset_in=asset_in,
            asset_out=asset_out,
            amount_in=None if exact_out else fixed,
            amount_out=fixed if exact_out else None,
            limit_pct=settings.limit_pct,
            min_deadline_ms=settings.min_deadline_ms,
            min_wait_ms=settings.min_wait_ms,
            max_wait_ms=settings.max_wait_ms,
            partner_id=settings.partner_id,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a taker does when its auction closes."""

    offer: Offer
    diff: Mapping[str, int]


def decide(ask: Ask, auction: Auction, *, fee_pips: int, pair: Pair, eur_per_base: Decimal) -> Decision | None:
    """Take the best offer if it is within the limit."""
    offer = auction.best()
    if offer is None or not ask.accepts(offer, fee_pips=fee_pips, pair=pair, eur_per_base=eur_per_base):
        return None
    gives, gets = ask.own_amounts(offer, fee_pips=fee_pips)
    return Decision(offer=offer, diff={ask.asset_in: -gives, ask.asset_out: gets})
