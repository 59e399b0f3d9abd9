"""trade-executor, as it describes itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unrip.domain.status import ExecutorVitals
from unrip.frame.action import Action, ReasonBody
from unrip.frame.definition import LEASES, LEDGER, Reads, Service
from unrip.frame.switching import ARM, DISARM, HALT_AND_REVOKE
from unrip.messages.topics import EXECUTE_TRADE, LIQUIDITY_ACTION, MARKET_PRICE, RAW_QUOTE_STATUS, TRADE_RESULT
from unrip.services.relay_link import RELAY_LOGS
from unrip.services.trade_executor.settings import SpendingSettings
from unrip.services.trade_executor.state import ExecutorState

#: Results read back: the newest say how far the ledger was, and the others what became of commands that it lacks.
RESULTS_READ_BACK = 2_000
#: Steps of the treasury that are read back at first: those of the last minutes are among them.
ACTIONS_READ_BACK = 200


class ResolveBody(ReasonBody):
    """An operator's word about an offer that nothing proves."""

    command_id: str = Field(min_length=1, max_length=200)
    outcome: Literal["lapsed", "settled"] = Field(description="How it ended; offers that share its nonce lapsed.")


RESOLVE = Action(
    name="resolve",
    body=ResolveBody,
    summary="End an unproven offer by an operator's word; refused while blocks may still tell.",
)
UNDO_READING = Action(
    name="undo-reading",
    summary="Take back what is believed of the chain: the next reading that agrees with the clock replaces it.",
)

SERVICE = Service(
    name="trade-executor",
    does="signs, claims, sends and follows each offer to its end",
    port=8107,
    wiring="unrip.services.trade_executor.wiring",
    settings={"spending": SpendingSettings},
    uses=("near_intents", "limits", "intervals"),
    secrets=("near_intents.executor_token_file", "near_intents.key_file"),
    reads=(
        Reads(topic=MARKET_PRICE, tail=1),
        Reads(topic=TRADE_RESULT, tail=RESULTS_READ_BACK, until_end=True, when="once more in each quarantine"),
        Reads(topic=EXECUTE_TRADE, place="the position in its ledger"),
        Reads(topic=LIQUIDITY_ACTION, tail=ACTIONS_READ_BACK, when="once an offer is open"),
    ),
    writes=(RAW_QUOTE_STATUS, TRADE_RESULT),
    actions=(ARM, DISARM, HALT_AND_REVOKE, RESOLVE, UNDO_READING),
    logs={
        **RELAY_LOGS,
        "reading_refused": "the executor does not believe what a node says of the chain; the doubt is its name",
        "reading_believed": "what a node says of the chain is believed again",
        "belief_replaced": "what was believed of the chain gave way: to readings that agree, or to an operator's word",
        "guarantee_refused": "the relay will not repeat notices until acknowledged; the plain stream is used",
        "execution_submitted": "the bytes of an offer left",
        "execution_rejected": "a command was rejected before any claim",
        "execution_failed": "a relay refused or did not reply, or an attempt was dropped before its first byte",
        "execution_recovered": "after a start or a reconnect all open offers were asked about",
        "execution_completed": "chain evidence ended an offer",
        "revocation_published": "the relay took an intent that spends the nonce of a live offer",
        "revocation_failed": "the relay refused such an intent or did not answer; the offer is followed like any other",
        "quarantined": "the ledger may not be the newest: nothing is armed until every offer it may not know is dead",
        "quarantine_over": "the quarantine has ended; arming is possible again",
        "ledger_differs": "held and the open holds do not add up",
    },
    stores=(LEDGER, LEASES),
    single_active=True,
    state=ExecutorState,
    vitals=ExecutorVitals,
    trade_ready_depends=True,
)
