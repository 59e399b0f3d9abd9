"""An offer after its claim: sent once, and followed until the chain says how it ended.

The relay's replies and notices are notes on an open offer; only `following.py` ends one, from a final block, the
newest or an older one (`hindsight.py`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from unrip.domain.arming import Switches
from unrip.domain.attempt import AttemptState, Drop, TradeResult, VenueReply
from unrip.domain.doubt import Belief, Believed, Older, Refused
from unrip.domain.verifier import VerifierReading
from unrip.net.events import FrameNotSent, FrameReceived, FrameSent, SendFrame, SocketClosed, SocketOpened
from unrip.service.contract import (
    Count,
    CrashPoint,
    Effect,
    Observe,
    Published,
    PublishFailed,
    SetTimer,
)
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.adoption import Adoption
from unrip.services.trade_executor.believing import Believing
from unrip.services.trade_executor.conversation import Conversation
from unrip.services.trade_executor.effects import (
    ApplyReading,
    Chain,
    ClaimOffer,
    DropAttempt,
    Ending,
    FillsRead,
    LedgerLoaded,
    LedgerWrite,
    NoteAttempt,
    NoteRevocation,
    NoteSurroundings,
    OfferFound,
    PastRead,
    PastUnread,
    ReadFills,
    ReadVerifier,
    RevocationPublished,
    RevocationSigned,
    RevocationTraced,
    UseRead,
    VerifierUnread,
)
from unrip.services.trade_executor.following import Followed, Look, OpenOffers
from unrip.services.trade_executor.given_up import given_up
from unrip.services.trade_executor.hindsight import Hindsight
from unrip.services.trade_executor.lane import NoteLane
from unrip.services.trade_executor.receipts import Receipts
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import result_of_offer
from unrip.services.trade_executor.revoking import Revocations
from unrip.services.trade_executor.withdrawn import Withdrawn
from unrip.venues.near_intents.relay import Reply, StatusNotice

#: In the relay's refusals and in the contract's (protocol/message-bus section 12.2, intents-and-signing section 8).
_INVALID_SALT = "invalid salt"


class Pursuit:
    """Everything between the claim of an offer and its end."""

    def __init__(
        self,
        *,
        account: str,
        conversation: Conversation,
        reply_bound: timedelta,
        report: ExecutionReport,
        belief: Belief,
    ) -> None:
        self.believing = Believing(belief)
        self._account = account
        self._conversation = conversation
        self._receipts = Receipts(conversation)
        self._reply_bound = reply_bound
        self._report = report
        self.withdrawn = Withdrawn(account)
        self.offers = OpenOffers(withdrawn=self.withdrawn)
        self.notes = NoteLane()
        self.revocations = Revocations()
        self.adoption = Adoption(offers=self.offers, notes=self.notes, revocations=self.revocations)
        self.hindsight = Hindsight(
            account=account, offers=self.offers, notes=self.notes, revocations=self.revocations, report=report
        )
        self.timers = conversation.timers
        #: Until every open offer was asked about once at a final block, since the start and since each reconnect.
        self.recovering = True
        #: The newest final block that was read and believed.
        self.reading: VerifierReading | None = None
        #: Nonces that the ledger may have one more offer of than we know.
        self.claiming: set[str] = set()
        #: Every offer on a nonce is known, so that the chain's word about it ends them.
        self.may_end = True
        #: The balances of a final block are in this ledger.
        self._credited = False
        #: The role is not ours: whoever has it may send, drop and acknowledge what we know of.
        self._aside = True
        self._loaded = False
        self._asking = False
        #: The nonces of the last question, none if it was put before the present connection was opened: its answer may
        #: be of a block before that.
        self._asked: frozenset[str] = frozenset()
        #: Something became known that the reading under way may be too old for.
        self._ask_again = False

    # --- the role --------------------------------------------------------------------------------------------------

    def stand(self, *, aside: bool) -> None:
        """Whether the role is ours."""
        self._aside = aside
        self._conversation.acknowledges = not aside

    # --- readiness -------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the relay."""
        return self._conversation.up

    def connection(self) -> dict[str, Any]:
        """The connection, for `GET /state`."""
        return self._conversation.state()

    def not_ready(self) -> list[str]:
        """Why no offer may leave: the relay, or open offers that nobody has asked about since it was lost."""
        return [*(["recovering"] if self.recovering else []), *self._conversation.not_ready()]

    # --- recovery --------------------------------------------------------------------------------------------------

    def load(self, event: LedgerLoaded, now: datetime) -> list[Effect]:
        """Follow what the ledger has open; at the first load these are offers of an earlier life."""
        self.believing.load(event)
        self.adoption.follow(event, earlier=not self._loaded)
        heard = self.withdrawn.hear() if event.open_offers and not self._loaded else []
        self._loaded = True
        return [*heard, *(self.revoke(now) if self.revocations.waits_for_ledger else [])]

    def reload(self, event: LedgerLoaded) -> None:
        """The ledger is another one than we wrote to."""
        self._credited = False
        self.adoption.fall_back(event)

    def _recovered(self) -> list[Effect]:
        if not (self.recovering and self._loaded and self.connected) or self.offers.unrecovered():
            return []
        self.recovering = False
        return self._report.recovered(len(self.offers.by_command))

    # --- sending ---------------------------------------------------------------------------------------------------

    def send(self, claim: ClaimOffer, now: datetime, *, ends_at: datetime, switches: Switches) -> list[Effect]:
        """The claim is committed: the bytes may go, unless something forbids it by now.

        `ends_at` is when the claim ended by the clock that is never set. Where the wall clock was set back meanwhile,
        the window closes so much earlier by it.
        """
        lag = max(timedelta(0), ends_at - now)
        followed = Followed(offer=claim.offer, chain=_stamped(claim.chain, "claimed", now), before=self.reading)
        self.offers.claimed(followed)
        effects: list[Effect] = [CrashPoint(name="executor.claimed"), *self.withdrawn.hear()]
        if self._aside:  # whoever has the role may send it, so it is not ours to drop: it waits for evidence
            return effects
        if (reason := given_up(claim.offer, now + lag, switches, ready=not self.not_ready())) is not None:
            return [*effects, *self._drop(followed, reason, now)]
        followed.awaits_reply, followed.frame = True, self._conversation.answer(claim.offer)
        command_id = claim.offer.command_id
        return [
            *effects,
            SendFrame(connection=RELAY, text=followed.frame, token=command_id, not_after=claim.offer.answer_by - lag),
            SetTimer(name=f"reply:{command_id}", at=now + self._reply_bound),
        ]

    def adopt(self, claim: ClaimOffer, now: datetime, *, halted: bool, told: TradeResult | None) -> list[Effect]:
        """An offer that an earlier life may have sent; a halt that was to take live offers back takes it back, too."""
        revoke = halted and self.revocations.requested
        offer = self.adoption.adopt(claim, _stamped(claim.chain, "claimed", now), revoke=revoke, told=told)
        revocations = self.revocations.request([offer], now, loaded=True) if revoke else []
        return [*revocations, *self._read_fills(), *self._ask_anew(now)]

    def on_frame_fate(self, event: FrameSent | FrameNotSent, now: datetime) -> list[Effect]:
        """The bytes left, did not leave, or nobody knows."""
        followed = self.offers.by_command.get(event.token)
        if followed is None:
            return []
        if isinstance(event, FrameNotSent):
            return self._on_not_sent(followed, event, now)
        left_ms = (followed.offer.answer_by - event.sent_at) / timedelta(milliseconds=1)
        return [
            CrashPoint(name="executor.sent"),
            *self._note(followed, AttemptState.SENT, event.sent_at, request=followed.frame),
            *self._report.submitted(followed.offer),
            Observe(name="window_left_when_sent", milliseconds=left_ms),
        ]

    def _on_not_sent(self, followed: Followed, event: FrameNotSent, now: datetime) -> list[Effect]:
        """Once another outcome is noted, only the chain ends the offer, whatever the socket says later."""
        if not followed.awaits_reply:
            return []
        if event.nothing_left and not self._aside:
            return self._drop(followed, Drop.WINDOW_CLOSED if event.reason == "too_late" else Drop.SOCKET_GONE, now)
        return self._unanswered(followed, "socket_gone", now)

    def _drop(self, followed: Followed, reason: Drop, now: datetime) -> list[Effect]:
        """No byte has left, and this process knows it."""
        followed.ending = True
        followed.awaits_reply = False
        result = result_of_offer(followed.offer, AttemptState.DROPPED, reason=reason)
        return self.notes.push(DropAttempt(result=result, chain=_stamped(followed.chain, "dropped", now)))

    def recorded(self) -> bool:
        """A final block was read, and the ledger has it: only then can it hold what an earlier life promised."""
        return self._credited and self.notes.empty()

    def idle(self) -> bool:
        """No sent answer is without its reply or its end, and every note is committed."""
        return self.notes.empty() and not any(followed.awaits_reply for followed in self.offers.by_command.values())

    # --- revoking ------------------------------------------------------------------------------------------------

    def revoke(self, now: datetime) -> list[Effect]:
        """Spend the nonce of every offer that may still be taken."""
        live = [each for each in self.adoption.everything() if not each.ending]
        for followed in live:
            followed.noticed = True
        return self.revocations.request((each.offer for each in live), now, loaded=self._loaded)

    def on_revocation(
        self, event: RevocationSigned | RevocationPublished | RevocationTraced, now: datetime
    ) -> list[Effect]:
        """A revocation goes out first and is recorded after; what used its nonce is looked up once it is used."""
        if isinstance(event, RevocationSigned):
            note = NoteRevocation(account=self._account, nonce=event.nonce, payload=event.payload)
            known = self.adoption.lacks(event.nonce) or self.revocations.is_published(event)
            return [*self.revocations.signed(event), *([] if known else self.notes.push(note))]
        if isinstance(event, RevocationPublished):
            return [CrashPoint(name="executor.revoked"), *self.revocations.published(event), *self._ask_anew(now)]
        count = Count(name="revocation_traces", labels={"finding": event.finding})
        if not self.revocations.traced(event):
            return [count]
        self.hindsight.traced(event.nonce, now)
        return [count, *self._ask_anew(now)]

    # --- the relay -------------------------------------------------------------------------------------------------

    def on_relay(self, event: FrameReceived | SocketOpened | SocketClosed, now: datetime) -> list[Effect]:
        """The connection, and what comes over it."""
        if isinstance(event, SocketOpened):
            return self._on_opened(event, now)
        if isinstance(event, SocketClosed):
            return self._on_closed(event, now)
        heard, effects = self._conversation.heard(event, now)
        match heard:
            case Reply():
                return [*effects, *self._on_reply(heard, now)]
            case StatusNotice():
                return [*effects, *self._on_notice(heard, event, now)]
        return effects

    def on_timer(self, name: str, now: datetime) -> list[Effect]:
        """A timer of the connection."""
        return self._conversation.on_timer(name, now)

    def on_reply_timer(self, command_id: str, now: datetime) -> list[Effect]:
        """The relay has had time enough to reply."""
        followed = self.offers.by_command.get(command_id)
        return [] if followed is None or not followed.awaits_reply else self._unanswered(followed, "no_reply", now)

    def _on_opened(self, event: SocketOpened, now: datetime) -> list[Effect]:
        """Notices may have been missed: nothing is sent until every open offer was asked about."""
        self._receipts.reconnected()
        self._asked = frozenset()
        self.offers.ask_about_all()
        self.recovering = self.recovering or self.offers.unrecovered() > 0
        asked = self._ask_anew(now) if self.recovering and self._loaded else []
        return [*self._conversation.opened(event, now), *asked]

    def _on_closed(self, event: SocketClosed, now: datetime) -> list[Effect]:
        effects = self._conversation.closed(event, now)
        for followed in list(self.offers.by_command.values()):
            if followed.awaits_reply and not followed.ending:
                effects += self._unanswered(followed, "socket_gone", now)
        return effects

    def _on_reply(self, reply: Reply, now: datetime) -> list[Effect]:
        followed = self.offers.by_command.get(reply.request or "")
        if followed is None or not followed.awaits_reply:
            return [Count(name="relay_replies", labels={"outcome": "late"})]
        followed.awaits_reply = False
        response = VenueReply(accepted=reply.ok, code=reply.code, text=reply.text, received_at=now)
        state = AttemptState.ACCEPTED if reply.ok else AttemptState.REFUSED
        self._report.answered(response)
        effects = self._note(followed, state, now, response=response, reason=None if reply.ok else reply.text)
        if not reply.ok:
            effects += self._report.failed(followed.offer, state, reply.text)
            effects += self.on_refusal(reply.text, now)
        return [Count(name="relay_replies", labels={"outcome": state}), *effects]

    def _unanswered(self, followed: Followed, reason: str, now: datetime) -> list[Effect]:
        """The reply never came: unknown, which is not no. The offer is followed like any other."""
        followed.awaits_reply = False
        return [
            *self._note(followed, AttemptState.UNANSWERED, now, reason=reason),
            *self._report.failed(followed.offer, AttemptState.UNANSWERED, reason),
        ]

    def _on_notice(self, notice: StatusNotice, frame: FrameReceived, now: datetime) -> list[Effect]:
        """A settlement notice: a reason to ask the chain at once, never an end by itself."""
        if self._aside or not self._loaded:  # whose it is cannot be said now, so a guaranteed one must come again
            return [Count(name="status_notices", labels={"whose": "unknown_yet"})]
        if (again := self._receipts.again(notice)) is not None:
            return [Count(name="status_notices", labels={"whose": "ours_again"}), *again]
        followed = self.offers.by_quote_hash(notice.quote_hash)
        if followed is None and not self.may_end:  # the ledger may lack it, until all commands are read
            return [Count(name="status_notices", labels={"whose": "unknown_yet"})]
        if followed is None:
            count = Count(name="status_notices", labels={"whose": "others_or_ended"})
            return [count, *self._receipts.seek(notice, frame)]
        followed.noticed = True
        record = self._conversation.record(notice, frame, followed.offer)
        self._receipts.keep(notice, record)
        effects: list[Effect] = [
            CrashPoint(name="executor.notice_received"),
            Count(name="status_notices", labels={"whose": "ours"}),
            record,
        ]
        if notice.tx_hash is not None:
            followed.name(notice.tx_hash)
        return [*effects, *self._read_fills(), *self.ask(now)]

    def on_record(self, event: Published | PublishFailed) -> list[Effect]:
        """What became of the record of a guaranteed notice, or of the dead letter of a frame."""
        return [*self._receipts.on_record(event), *self._conversation.on_record(event)]

    def on_found(self, event: OfferFound) -> list[Effect]:
        """The ledger's word about a notice that is about no open offer."""
        return self._receipts.found(event.quote_hash, event.offer)

    def on_not_found(self) -> list[Effect]:
        """The ledger could not be asked about a notice; it comes again."""
        self._receipts.not_found()
        return []

    def _note(
        self,
        followed: Followed,
        state: AttemptState,
        at: datetime,
        *,
        reason: str | None = None,
        request: str | None = None,
        response: VenueReply | None = None,
    ) -> list[Effect]:
        followed.chain = _stamped(followed.chain, state, at)
        result = result_of_offer(
            followed.offer,
            state,
            reason=reason,
            request=request,
            response=response,
            next_check_at=followed.offer.offer_deadline,
        )
        return self.notes.push(NoteAttempt(result=result, chain=followed.chain))

    # --- the chain -------------------------------------------------------------------------------------------------

    def ask(self, now: datetime) -> list[Effect]:
        """One read of the verifier at a time, about the offers that are due."""
        if self._asking:
            return []
        self._asking = True
        due = self.offers.due(now)
        nonces = tuple(dict.fromkeys(followed.offer.nonce for followed in due))
        self._asked = frozenset(nonces)
        salts = tuple(dict.fromkeys(followed.offer.salt for followed in due))
        return [ReadVerifier(nonces=nonces, salts=salts, elsewhere=self.believing.refused is not None)]

    def on_refusal(self, text: str, now: datetime) -> list[Effect]:
        """Relay or contract refused an offer of ours. A refused salt is looked up at once, never chosen here."""
        if _INVALID_SALT not in text.lower():
            return []
        return [Count(name="salts_refused"), *self._ask_anew(now)]

    def _ask_anew(self, now: datetime) -> list[Effect]:
        """Ask at once, or as soon as the reading under way is there, which may be of an earlier block."""
        self._ask_again = self._asking
        return self.ask(now)

    def on_fills(self, event: FillsRead) -> list[Effect]:
        """What a transaction moved; nothing, where it could not be read or is not final."""
        self.offers.note_fills(event.tx_hash, event.fills)
        return []

    def on_unread(self, event: VerifierUnread, now: datetime) -> list[Effect]:
        """No answer: what is known stays as it is."""
        count = Count(name="verifier_reads", labels={"outcome": "unread"})
        return [count, *self._report.unread(event.reason), *self._answered(now)]

    def on_read(self, reading: VerifierReading, judged: Believed | Older | Refused, now: datetime) -> list[Effect]:
        """A final block, and whether it is believed: what is not believed ends, releases and replaces nothing."""
        because = self.believing.replaced_because(judged) if isinstance(judged, Believed) else None
        return [
            Count(name="verifier_reads", labels={"outcome": self.believing.outcome(judged)}),
            *self._report.read_again(),
            *self.believing.say(judged, because),
            *(self._on_believed(reading, because, now) if isinstance(judged, Believed) else []),
            *self._answered(now),
        ]

    def _answered(self, now: datetime) -> list[Effect]:
        """The question under way is answered; what became known meanwhile may ask for the next one at once."""
        self._asking = False
        again, self._ask_again = self._ask_again, False
        return self.ask(now) if again else []

    def undo_reading(self, reason: str, now: datetime) -> list[Effect]:
        """An operator takes back what is believed: it is read again at once."""
        self.believing.undo(reason)
        return self._ask_anew(now)

    def _on_believed(self, reading: VerifierReading, replaces: str | None, now: datetime) -> list[Effect]:
        self.reading = reading
        self.offers.asked_about(self._asked & reading.nonces.keys())
        revocations, verdicts = self.revocations.by_nonce, dict[str, Ending | Look]()
        if self.may_end:
            verdicts = self.offers.judged(reading, now, claiming=self.claiming, revocations=revocations)
        endings = tuple(verdict for verdict in verdicts.values() if isinstance(verdict, Ending))
        for ending in endings:
            self.revocations.ended((result for result, _chain in ending.results), recorded=False)
        questions = self.revocations.questions(self.offers.used_by_whom(reading))
        write = ApplyReading(
            account=self._account,
            height=reading.height,
            credited=reading.credited,
            endings=endings,
            block_time=reading.block_time,
            replaces=replaces,
        )
        written = self.notes.push(write)  # before what older blocks end: the ledger is never older than its evidence
        looks = self.hindsight.look(reading, now, verdicts)
        return [*written, *questions, *self._read_fills(), *looks, *self._recovered()]

    def on_past(self, event: PastRead | PastUnread | UseRead, now: datetime) -> list[Effect]:
        """Older blocks; what they say of a nonce whose offers are not all known is asked once more."""
        unread = PastUnread(kept=True, reason="the ledger may lack offers until every command is read")
        return self.hindsight.on_past(event if self.may_end else unread, now)

    def _read_fills(self) -> list[Effect]:
        return [ReadFills(tx_hash=tx_hash) for tx_hash in self.offers.fills_to_read()]

    # --- the ledger ------------------------------------------------------------------------------------------------

    def on_noted(self, now: datetime) -> list[Effect]:
        """A note, a drop or a reading is committed."""
        write, effects = self.notes.committed()
        return [*self._on_written(write, now), *effects]

    def _on_written(self, write: LedgerWrite, now: datetime) -> list[Effect]:
        if isinstance(write, NoteAttempt | NoteRevocation | NoteSurroundings):
            return []
        if isinstance(write, DropAttempt):
            self.offers.by_command.pop(write.result.command_id, None)
            return self._ended(write.result, now)
        self._credited = self._credited or bool(write.credited)
        effects: list[Effect] = []
        for ending in write.endings:
            self.offers.ended(ending, write.height)
            self.revocations.forget(ending.nonce)
            for result, _chain in ending.results:
                effects += self._ended(result, now)
        return effects

    def _ended(self, result: TradeResult, now: datetime) -> list[Effect]:
        """The end of an offer is committed."""
        self.revocations.ended([result], recorded=True)
        return [*self._report.ended(result, now), *self._receipts.ended(result.quote_hash or "")]


def _stamped(chain: Chain, stage: str, at: datetime) -> Chain:
    return msgspec.structs.replace(chain, stages={**chain.stages, stage: at})
