"""R64: where nobody asks for our pair for minutes, nothing is wrong, and the next demand is served as any other."""

from __future__ import annotations

from support.whole_desk import WholeDesk
from unrip.frame.contract import Log
from unrip.messages.topics import TRADE_RESULT

#: More than twice as long as after which a connection that carries nothing counts as mute.
QUIET_S = 150


def test_a_pair_that_nobody_asks_for_drops_no_connection_and_stops_nothing() -> None:
    with WholeDesk() as desk:
        desk.run(QUIET_S)
        lost = [(who, line.body) for who, line in desk.log if isinstance(line, Log) and line.event == "connection_lost"]
        assert lost == []
        for name in ("near-intents-ingest", "trade-executor"):
            state = desk.processes[name].host.state()
            assert (state["connection"]["connections"], state["not_ready"]) == (1, []), name
        quote_id = desk.demand(direction="btc_to_eure", amount_in="15000")
        desk.run(12)
        assert [event.payload.state for event in desk.chain(TRADE_RESULT, quote_id)][-1] == "settled"
