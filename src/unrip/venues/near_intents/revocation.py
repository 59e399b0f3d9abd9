"""Taking an offer back: an intent without operations that spends the offer's nonce.

The relay knows no cancel message (protocol/message-bus section 10). The account may execute an intent without
operations instead (protocol/intents-and-signing section 5): it moves nothing, and whichever of the two executes first
makes the other worthless.
"""

from __future__ import annotations

from datetime import datetime

from unrip.venues.near_intents.nep413 import build_message
from unrip.venues.near_intents.offers import deadline_text
from unrip.venues.near_intents.signer import SignedMessage, Signer


def sign_revocation(signer: Signer, *, account: str, nonce: str, deadline: datetime) -> SignedMessage:
    """Sign the revocation of a nonce; the same arguments always give the same bytes and so the same hash.

    `deadline` is the nonce's own, the latest that the contract allows (intents-and-signing section 7): so a nonce has
    one revocation, whichever of its offers are open when it is made and when it is looked for.

    Raises:
        ValueError: account or nonce are none.

    """
    message = build_message(deadline=deadline_text(deadline), intents=[], signer_id=account)
    return signer.sign_message(message, nonce=nonce)
