"""A process that stood still while another one took its role over."""

import time

from support.desk import Desk
from unrip.frame.dependencies import CONFIRMED_WITHIN_S

HOLDER = (
    "SELECT pid FROM pg_stat_activity JOIN pg_locks USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND application_name = %s"
)


def conflicts(desk: Desk) -> int:
    """How many records the history-writer met that name what another one names, and say something else."""
    return int(desk.state("history-writer")["conflicts"])


def test_a_strategy_that_wakes_beside_another_one_decides_nothing(armed: Desk) -> None:
    """What was asked while it slept is decided by the other one; the sleeper remembers to be armed and active."""
    desk, role = armed, "strategy-engine"
    before = conflicts(desk)
    with desk.second_instance(role) as second:
        desk.until(lambda: "standby" in second.state(role)["not_ready"], what="standby")
        with desk.frozen(role):
            (holder,) = desk.sql(HOLDER, f"unrip lock of {role}")
            desk.sql("SELECT pg_terminate_backend(%s)", holder["pid"])
            desk.until(lambda: second.state(role)["active"] and second.is_ready(role), what="taken over")
            quote_id = desk.world.demand(direction="btc_to_eure", amount_in="15000")
            assert desk.decision(quote_id)["reason"] in {"disarmed", "executor_not_ready"}
            time.sleep(CONFIRMED_WITHIN_S)
        desk.until_not_ready(role, "standby")
        assert desk.submissions(quote_id) == []
        assert conflicts(desk) == before, "nothing was decided twice"
    desk.until(lambda: desk.client.is_ready(role), what="the role is free again")


def test_a_strategy_that_stood_still_asks_the_lock_before_it_acts(armed: Desk) -> None:
    """`role_unconfirmed` until the answer, which is that nobody else has the role."""
    with armed.frozen("strategy-engine"):
        time.sleep(CONFIRMED_WITHIN_S + 1)
    armed.until(lambda: armed.log_lines("strategy-engine", "role_unconfirmed"), what="the doubt")
    armed.until(lambda: armed.client.is_ready("strategy-engine"), what="the role is still ours")
    assert armed.state("strategy-engine")["armed"] == "base_in,base_out", "nobody else was active in between"
