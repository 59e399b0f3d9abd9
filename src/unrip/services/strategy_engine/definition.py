"""strategy-engine, as it describes itself."""

from __future__ import annotations

from unrip.domain.status import StrategyVitals
from unrip.frame.definition import LEASES, STRATEGY, Reads, Service
from unrip.frame.switching import ARMING_ACTIONS
from unrip.messages.topics import (
    CONTROL_ACTION,
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    MARKET_PRICE,
    SERVICE_STATUS,
    SWAP_DEMAND,
    TRADE_DECISION,
    TRADE_RESULT,
    Topic,
)
from unrip.services.strategy_engine.limits import LIMIT_ACTIONS
from unrip.services.strategy_engine.state import StrategyState

#: Decided quotes that are remembered, in memory and by reading back, so that none is decided twice.
DECIDED_MAX = 5_000
#: Control records that are read back; operators act a few times a day.
CONTROLS_READ_BACK = 1_000
#: The topics whose newest record is the strategy's knowledge, and how far back to read at start. Beats of all
#: services share one topic: thirty seconds of nine services.
INPUT_TOPICS: dict[Topic, int] = {MARKET_PRICE: 1, INTENT_INVENTORY: 1, SERVICE_STATUS: 300}
#: Results are read back after the commands that they end: a few of each that may still be alive, and the fills that the
#: history may not have yet.
RESULTS_READ_BACK = 2_000

SERVICE = Service(
    name="strategy-engine",
    does="decides every demand, commands the accepted ones",
    port=8106,
    wiring="unrip.services.strategy_engine.wiring",
    uses=("near_intents", "limits"),
    reads=(
        Reads(topic=TRADE_DECISION, tail=DECIDED_MAX, until_end=True),
        Reads(topic=EXECUTE_TRADE, tail=DECIDED_MAX, until_end=True),
        *(Reads(topic=topic, tail=tail) for topic, tail in INPUT_TOPICS.items()),
        Reads(topic=CONTROL_ACTION, tail=CONTROLS_READ_BACK),
        Reads(topic=TRADE_RESULT, tail=RESULTS_READ_BACK, when="once its commands are read back"),
        Reads(topic=SWAP_DEMAND, place="right after the demand of its last decision"),
    ),
    writes=(TRADE_DECISION, EXECUTE_TRADE),
    actions=(*ARMING_ACTIONS, *LIMIT_ACTIONS),
    logs={
        "drawdown": "the equity, net of transfers, has fallen from its highest by more than the limit",
        "drawdown_over": "the equity is within the limit of its highest again",
        "decision_accepted": "a demand will be answered",
        "decision_rejected": "a demand will not be answered, with the reason",
        "decisions_rejected": "refusals of the last second, by reason, when there were more than five",
        "limits_changed": "an operator changed a limit",
    },
    stores=(STRATEGY, LEASES),
    single_active=True,
    state=StrategyState,
    vitals=StrategyVitals,
)
