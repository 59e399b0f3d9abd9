"""The judgement of evidence: whatever happened to a nonce, no verdict says otherwise, and what can be known is said."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.executor import a_reading
from support.ledgers import BTC, DEADLINE, EURE, NONCE_DEADLINE, an_offer
from unrip.domain.attempt import Offer
from unrip.domain.balances import Withdrawal, possible_takers
from unrip.domain.evidence import (
    TAKER_ALLOWANCE,
    Alive,
    Lapsed,
    LookFurther,
    Promise,
    Revoked,
    Search,
    Settled,
    Spent,
    Trace,
    Unproven,
    Verdict,
    Voided,
    Wait,
    judge,
    judge_past,
)
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierReading

SALT = "252812b3"
EARLY = DEADLINE - timedelta(seconds=30)
LATE = DEADLINE + TAKER_ALLOWANCE + timedelta(seconds=1)
HAD = 1_000


def giving(asset: str, name: str, amount_in: int, amount_out: int, nonce: str) -> Offer:
    offer = an_offer(name, amount=amount_out, asset=asset, nonce=nonce)
    return msgspec.structs.replace(offer, amount_in=Amount(amount_in))


def block(
    height: int, change: dict[str, int], nonces: dict[str, bool], *, at: Any = EARLY, valid: bool = True
) -> VerifierReading:
    credited = {asset: Amount(HAD + change.get(asset, 0)) for asset in (BTC, EURE)}
    return a_reading(height, credited=credited, block_time=at, nonces=nonces, salts={SALT: valid})


def effect(offer: Offer) -> Counter[str]:
    return Counter({offer.asset_in: int(offer.amount_in), offer.asset_out: -int(offer.amount_out)})


def told(verdict: Verdict) -> Counter[str] | None:
    """What a verdict says that the nonce moved, None where it leaves that open."""
    match verdict:
        case Settled():
            return effect(verdict.taker)
        case Voided() | Revoked() | Lapsed():
            return Counter()
    return None


AMOUNTS = st.integers(1, 6)
CHANGES = st.dictionaries(st.sampled_from([BTC, EURE]), st.integers(0, 4), max_size=2)


@st.composite
def uses(draw: st.DrawFn) -> tuple[Promise, Offer | str, dict[str, int], bool]:
    """One block in which a nonce was used, by whom, and everything else that moved there."""
    offers = [giving(EURE, f"offer {n}", draw(AMOUNTS), draw(AMOUNTS), "nonce") for n in range(draw(st.integers(1, 3)))]
    users: list[Offer | str] = [*offers, "our revocation", "a stranger"]
    user = draw(st.sampled_from(users))
    others = [
        giving(draw(st.sampled_from([EURE, BTC])), f"other {n}", draw(AMOUNTS), draw(AMOUNTS), f"other nonce {n}")
        for n in range(draw(st.integers(0, 2)))
    ]
    taken = [other for other in others if draw(st.booleans())]
    withdrawn = draw(st.lists(st.tuples(st.sampled_from([BTC, EURE]), AMOUNTS), max_size=2))
    gifts = draw(st.one_of(st.just({}), CHANGES))
    moved = Counter[str](gifts)
    for offer in [*taken, *([user] if isinstance(user, Offer) else [])]:
        moved.update(effect(offer))
    for asset, amount in withdrawn:
        moved[asset] -= amount
    hidden = user == "our revocation" and draw(st.booleans())
    trace = Trace.UNTRACED if hidden else Trace.REVOKED if user == "our revocation" else draw(st.sampled_from([*Trace]))
    if trace is Trace.REVOKED and user != "our revocation":
        trace = Trace.NOT_REVOKED
    before = block(10, {}, {"nonce": False}, at=EARLY - timedelta(seconds=1))
    after = block(11, moved, {"nonce": True})
    promise = Promise(
        offers=tuple(offers),
        search=Search.NONE,
        trace=trace,
        use=(before, after),
        others=tuple((other,) for other in others),
        withdrawals=tuple(Withdrawal(asset_id=a, amount=Amount(n), told_at=EARLY) for a, n in withdrawn),
    )
    return promise, user, dict(moved), bool(others or withdrawn or any(gifts.values()))


@given(use=uses(), late=st.booleans())
def test_no_verdict_about_a_use_says_that_something_moved_which_did_not(
    use: tuple[Promise, Offer | str, dict[str, int], bool], late: bool
) -> None:
    promise, user, moved, beside = use
    newest = block(20, moved, {"nonce": True}, at=LATE if late else EARLY)
    verdict = judge(promise, newest, newest=newest.block_time)
    truth = effect(user) if isinstance(user, Offer) else Counter[str]()
    said = told(verdict)
    assert said is None or said == truth or said == Counter(moved) or beside, (verdict, user)
    if isinstance(verdict, Settled) and not isinstance(user, Offer):
        assert said == Counter(moved), "told to the last unit what moved, whoever it was"
    if isinstance(verdict, Voided) and isinstance(user, Offer):
        assert not any(moved.values()), "nothing moved after all"
    if isinstance(verdict, Revoked):
        assert user == "our revocation"
    assert not isinstance(verdict, Lapsed | LookFurther | Alive)
    if late and not beside:
        assert not isinstance(verdict, Wait | Unproven), "nothing else moved: it can be known"
    if not late and promise.trace is Trace.UNTRACED and not beside and not isinstance(user, Offer):
        assert verdict == Wait(), "the relay may still say that it was ours"


@given(use=uses(), executed=st.sampled_from(["theirs", "the user's"]))
def test_the_transaction_goes_before_every_balance(
    use: tuple[Promise, Offer | str, dict[str, int], bool], executed: str
) -> None:
    promise, user, _moved, _beside = use
    by = user.quote_hash if isinstance(user, Offer) and executed == "the user's" else "a stranger's intent"
    known = msgspec.structs.replace(promise, executed=by)
    newest = block(20, {}, {"nonce": True}, at=LATE)
    verdict = judge(known, newest, newest=LATE)
    if known.trace is Trace.REVOKED:
        assert isinstance(verdict, Revoked)
    elif by == "a stranger's intent":
        assert isinstance(verdict, Voided)
    else:
        assert isinstance(verdict, Settled)
        assert verdict.taker == user


@given(
    used_at=st.none() | st.integers(1, 9),
    salt_ends=st.none() | st.integers(2, 9),
    forgotten=st.booleans(),
    moved=st.booleans(),
    asked=st.integers(1, 10),
    step_s=st.integers(5, 30),
)
def test_every_block_of_every_story_agrees_with_the_story(
    used_at: int | None, salt_ends: int | None, forgotten: bool, moved: bool, asked: int, step_s: int
) -> None:
    """One offer, blocks one after another: used somewhere or never, the salt ends, the contract forgets."""
    offer = giving(EURE, "offer", 3, 5, "nonce")
    if salt_ends is not None and used_at is not None and used_at > salt_ends:
        used_at = None  # nothing with an ended salt is executed

    def at(height: int) -> VerifierReading:
        valid = salt_ends is None or height < salt_ends
        happened = used_at is not None and height >= used_at
        remembered = happened and (valid or not forgotten)
        change = dict(effect(offer)) if happened and moved else {}
        time = DEADLINE + timedelta(seconds=step_s * (height - 5))
        return block(height, change, {"nonce": remembered}, at=time, valid=valid)

    promise = Promise(offers=(offer,), before=at(0))
    verdict = judge(promise, at(asked), newest=at(asked).block_time)
    happened = used_at is not None and asked >= used_at
    match verdict:
        case Settled():
            assert happened
            assert moved
        case Voided():
            assert happened
            assert not moved
        case Lapsed():
            assert not happened or not moved
            assert at(asked).block_time > DEADLINE
        case LookFurther(used_at=None):
            assert salt_ends is not None
            assert asked >= salt_ends
        case Alive():
            assert not happened
        case _:
            raise AssertionError(verdict)


def test_a_used_nonce_alone_is_no_fill() -> None:
    offer = an_offer("one")
    used = block(20, {}, {offer.nonce: True}, at=LATE)
    assert judge(Promise(offers=(offer,)), used, newest=LATE) == LookFurther(used_at=20)
    unmoved = Promise(offers=(offer,), before=block(10, {}, {}))
    assert isinstance(judge(unmoved, used, newest=LATE), Voided)
    fell = block(20, {EURE: -30, BTC: 1}, {offer.nonce: True}, at=LATE)
    assert isinstance(judge(unmoved, fell, newest=LATE), Settled)
    stolen = block(20, {EURE: -30}, {offer.nonce: True}, at=LATE)
    assert judge(unmoved, stolen, newest=LATE) == LookFurther(used_at=20), "nothing came for it"


def test_offers_that_no_balance_tells_apart_are_spent_in_the_end() -> None:
    one, two = (giving(EURE, name, 3, 5, "nonce") for name in ("one", "two"))
    use = block(10, {}, {"nonce": False}), block(11, effect(one), {"nonce": True})
    promise = Promise(offers=(one, two), use=use, search=Search.NONE)
    newest = block(20, effect(one), {"nonce": True}, at=LATE)
    assert judge(promise, newest, newest=EARLY) == Wait()
    assert isinstance(judge(promise, newest, newest=LATE), Spent)


@pytest.mark.parametrize("known", ["the balances at the claim", "the block of the use"])
@pytest.mark.parametrize("search", [*Search])
def test_who_took_equal_offers_is_not_given_up_before_the_transactions_were_read(known: str, search: Search) -> None:
    """However late the use is first seen: what could not be read says nothing, least of all "none"."""
    one, two = (giving(EURE, name, 3, 5, "nonce") for name in ("one", "two"))
    before, after = block(10, {}, {"nonce": False}), block(11, effect(one), {"nonce": True})
    used = {"use": (before, after)} if known == "the block of the use" else {"before": before}
    promise = Promise(offers=(one, two), search=search, **used)
    newest = block(20, effect(one), {"nonce": True}, at=LATE + timedelta(hours=1))
    verdict = judge(promise, newest, newest=newest.block_time)
    if search is Search.PENDING:
        assert verdict == (Wait() if "use" in used else LookFurther(used_at=20))
    else:
        assert isinstance(verdict, Spent if search is Search.NONE else Unproven), "an operator may say it by then"
    named = msgspec.structs.replace(promise, executed=two.quote_hash)
    assert judge(named, newest, newest=newest.block_time).taker == two  # type: ignore[union-attr]


def test_a_movement_that_no_offer_explains_does_not_void_before_the_transactions_were_read() -> None:
    """The offer was taken, and what it brought was taken out at once, which the bridge has not told yet."""
    offer = giving(EURE, "one", 3, 5, "nonce")
    moved = {EURE: 10 - 5, BTC: 3 - 2}
    before = block(10, {}, {"nonce": False})
    newest = block(20, moved, {"nonce": True}, at=LATE)
    promise = Promise(offers=(offer,), before=before)
    assert judge(promise, newest, newest=LATE) == LookFurther(used_at=20)
    known = msgspec.structs.replace(promise, executed=offer.quote_hash)
    assert isinstance(judge(known, newest, newest=LATE), Settled)
    for search in (Search.UNREAD, Search.NONE):
        assert isinstance(judge(msgspec.structs.replace(promise, search=search), newest, newest=LATE), Voided)


def test_unused_after_the_nonces_own_deadline_proves_nothing() -> None:
    offer = an_offer("one")
    for moment, verdict in ((NONCE_DEADLINE, Lapsed), (NONCE_DEADLINE + timedelta(microseconds=1), LookFurther)):
        assert isinstance(
            judge(Promise(offers=(offer,)), block(20, {}, {offer.nonce: False}, at=moment), newest=moment), verdict
        )


def test_a_use_after_the_offers_life_lapses_them() -> None:
    """Somebody spends the nonce when nobody can take the offer any more: the block before is the proof."""
    offer = an_offer("one")
    after = DEADLINE + timedelta(seconds=1)
    blocks = block(10, {}, {offer.nonce: False}, at=after), block(11, {}, {offer.nonce: True}, at=after)
    promise = Promise(offers=(offer,), use=blocks, trace=Trace.UNTRACED)
    verdict = judge_past(promise, blocks, newest=after, no_fill=False)
    assert isinstance(verdict, Lapsed)
    assert verdict.evidence.height == 10


# --- withdrawals ------------------------------------------------------------------------------------------------------


def takers(change: dict[str, int], *offers: Offer, withdrawn: int = 0, told_s: int = 0) -> set[str | None]:
    told_at = EARLY + timedelta(seconds=told_s)
    withdrawals = [Withdrawal(asset_id=EURE, amount=Amount(withdrawn), told_at=told_at)] if withdrawn else []
    blocks = block(10, {}, {}, at=EARLY - timedelta(seconds=1)), block(11, change, {}, at=EARLY)
    found = possible_takers(offers, *blocks, withdrawals=withdrawals)
    return {None if taker is None else taker.quote_id for taker in found}


@pytest.mark.parametrize(
    ("change", "withdrawn", "told_s", "possible"),
    [
        ({EURE: -5, BTC: 3}, 0, 0, {"one"}),
        ({EURE: -5, BTC: 3}, 5, 0, {"one", None}),
        ({EURE: -5}, 5, 0, {None}),
        ({EURE: -10, BTC: 3}, 5, 0, {"one"}),
        ({EURE: -10, BTC: 3}, 0, 0, set()),
        ({EURE: -5, BTC: 3}, 5, -1, {"one"}),
        ({EURE: -5, BTC: 3}, 5, 3_600, {"one"}),
        ({}, 5, 0, {None}),
    ],
    ids=[
        "a fill",
        "a fill, or a withdrawal and a gift",
        "a withdrawal",
        "a fill and a withdrawal",
        "a fill and what nobody told of",
        "a withdrawal that was told before the first block",
        "a withdrawal that was told long after",
        "nothing moved",
    ],
)
def test_a_fall_that_a_withdrawal_explains_is_not_only_a_fill(
    change: dict[str, int], withdrawn: int, told_s: int, possible: set[str | None]
) -> None:
    assert takers(change, giving(EURE, "one", 3, 5, "nonce"), withdrawn=withdrawn, told_s=told_s) == possible


def test_what_explains_all_of_it_is_no_better_than_what_needs_a_gift() -> None:
    """A stranger who sends one satoshi beside the fill of one offer makes it look like that of another."""
    small, large = giving(EURE, "small", 3, 5, "nonce"), giving(EURE, "large", 3, 50, "nonce")
    assert takers({EURE: -5, BTC: 3}, small, large) == {"small", "large"}
    assert takers({EURE: -6, BTC: 3}, small, large) == {"large"}, "nobody can take"
