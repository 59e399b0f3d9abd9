"""Every port of the desk against every class of fault, as data; `python -m simulation.matrix` prints the page.

A cell says by a word and a name what looks at that fault: `plan NAME` of the simulation, `test NAME`, or `line FILE:
CODE` where a line makes it impossible. `none` says that the port has no such fault. What is not here is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

#: Class to what it is, in the order of the columns.
CLASSES = {
    "away": "it does not answer",
    "slow": "slow beyond its bound",
    "read-only": "it reads and refuses writes",
    "unanswered": "it takes and loses the answer",
    "forgets": "it acknowledges and forgets",
    "repeats": "the same comes again",
    "reorders": "an earlier thing comes after a later one",
    "late": "true once, and told much later",
    "future": "dated ahead",
    "contradicts": "it contradicts another source, or itself",
    "lies": "it alone says what is not so",
    "truncated": "cut off in the middle",
    "identity": "another one answers in its place",
    "two masters": "two act as one",
    "full": "no room is left",
}

_LIMITS_KEPT = "test a_tightened_limit_that_postgresql_did_not_keep_holds_on_in_the_next_process"

#: Port to class to what looks at it.
MATRIX: dict[str, dict[str, str]] = {
    "relay: quotes in": {
        "away": "plan relay/down",
        "slow": "plan relay/slow_ms",
        "read-only": "none",
        "unanswered": "test a_lost_confirmation_is_asked_for_again",
        "repeats": "test any_truncated_or_altered_frame_becomes_exactly_one_event",
        "late": "plan relay/slow_ms",
        "truncated": "plan relay/malformed_frame",
        "two masters": "test a_standby_does_nothing_and_takes_no_connection_from_the_instance_that_works",
    },
    "relay: answers out": {
        "away": "plan relay/refuse_handshake",
        "slow": "plan relay/slow_ms",
        "read-only": "plan relay/refuse_answers",
        "unanswered": "plan relay/lose_replies",
        "forgets": "plan relay/withhold_settlement",
        "repeats": "test replies_twice_late_and_against_each_other_are_one_note",
        "reorders": "test replies_are_matched_by_id_whatever_their_order",
        "late": "plan relay/stranger",
        "contradicts": "test replies_twice_late_and_against_each_other_are_one_note",
        "lies": "plan relay/leak",
        "truncated": "plan half_write",
        "identity": "test a_token_that_is_gone_or_unknown_stops_quoting_until_a_person_mends_it",
        "two masters": "plan hand_over",
    },
    "relay: notices": {
        "away": "plan relay/mute",
        "slow": "plan relay/delay_status_ms",
        "read-only": "none",
        "unanswered": "plan relay/drop_status",
        "forgets": "plan relay/drop_status",
        "repeats": "plan relay/duplicate_status",
        "reorders": "test a_notice_before_the_reply",
        "late": "plan relay/delay_status_ms",
        "contradicts": "plan relay/wrong_status_tx",
        "lies": "plan relay/false_status",
        "truncated": "plan relay/malformed_frame",
        "two masters": "plan hand_over",
    },
    "relay: intents by RPC": {
        "away": "plan relay/down",
        "slow": "plan relay/slow_ms",
        "unanswered": "plan relay/lose_replies",
        "repeats": "plan lost_answer",
        "late": "plan lost_answer",
    },
    "NEAR nodes": {
        "away": "plan rpc/down",
        "slow": "plan rpc/slow_ms",
        "read-only": "none",
        "unanswered": "plan lost_answer",
        "forgets": "plan chain/reorg",
        "repeats": "none",
        "reorders": "plan rpc/lag_blocks",
        "late": "plan rpc/lag_blocks",
        "future": "plan rpc/timestamp_skew_ms",
        "contradicts": "plan rpc/height_shift",
        "lies": "plan rpc/false_view",
        "truncated": "test an_endless_answer_is_cut_off",
        "full": "test a_rate_limit_says_how_long_to_wait",
    },
    "the contract": {
        "away": "plan verifier/pause",
        "slow": "plan relay/withhold_settlement",
        "read-only": "plan verifier/lock",
        "unanswered": "plan relay/drop_status",
        "forgets": "plan erase_nonces",
        "repeats": "test a_used_nonce_is_never_held_again",
        "reorders": "plan chain/reorg",
        "late": "plan relay/stranger",
        "contradicts": "plan withdrawal",
        "lies": "none",
        "identity": "plan verifier/rotate_salt",
        "two masters": "plan nonces_spent",
        "full": "none",
    },
    "bridge": {
        "away": "plan bridge/down",
        "slow": "plan bridge/mute",
        "read-only": "none",
        "unanswered": "plan lost_answer",
        "repeats": "plan deposit",
        "late": "plan deposit",
        "contradicts": "plan bridge/credit_in_steps",
        "identity": "test another_deposit_address_stops_its_use_until_an_operator_accepts_it",
    },
    "Kraken": {
        "away": "plan kraken/down",
        "slow": "plan kraken/mute",
        "read-only": "none",
        "unanswered": "none",
        "forgets": "none",
        "repeats": "plan kraken/freeze",
        "reorders": "test a_late_tick_does_not_replace_what_an_earlier_start_read",
        "late": "test a_socket_that_brings_late_ticks_only_is_helped_out_by_rest",
        "future": "plan kraken/timestamp_skew_ms",
        "contradicts": "plan kraken/crossed",
        "lies": "plan kraken/price",
        "truncated": "test any_truncated_or_altered_frame_becomes_exactly_one_event",
        "two masters": "none",
        "full": "test a_rate_limit_says_how_long_to_wait",
    },
    "CoinGecko": {
        "away": "plan coingecko/down",
        "slow": "plan coingecko/mute",
        "read-only": "none",
        "unanswered": "none",
        "forgets": "none",
        "repeats": "plan coingecko/freeze",
        "reorders": "test a_newer_word_that_agrees_ends_it_and_an_older_one_does_not",
        "late": "plan coingecko/freeze",
        "future": "test a_word_that_is_dated_ahead_neither_ends_it_nor_stands_in_the_way_of_a_newer_one",
        "contradicts": "plan coingecko/price_factor",
        "lies": "plan coingecko/eure_price",
        "two masters": "none",
        "full": "test a_rate_limit_is_obeyed_also_by_a_refresh",
    },
    "Kafka: demands, prices, inventory, beats": {
        "away": "plan broker_away",
        "slow": "plan stall_topic",
        "read-only": "plan refused_record",
        "unanswered": "plan lost_ack",
        "forgets": "plan topic_cut",
        "repeats": "plan deliver_twice",
        "reorders": "plan stall_topic",
        "late": "plan stall_topic",
        "truncated": "plan topic_cut",
        "identity": "plan topic_lost",
        "two masters": "test beats_of_a_standby_and_records_of_others_change_nothing",
        "full": "plan refused_record",
    },
    "Kafka: decisions and commands": {
        "away": "plan broker_away",
        "slow": "plan stall_topic",
        "read-only": "plan refused_record",
        "unanswered": "plan lost_ack",
        "forgets": "plan topic_cut",
        "repeats": "plan deliver_twice",
        "reorders": "plan stall_topic",
        "late": "plan stall_topic",
        "truncated": "plan topic_cut",
        "identity": "plan topic_lost",
        "two masters": "plan hand_over",
        "full": "plan refused_record",
    },
    "Kafka: results": {
        "away": "plan broker_away",
        "slow": "plan stall_topic",
        "read-only": "plan refused_record",
        "unanswered": "plan lost_ack",
        "forgets": "plan topic_cut",
        "repeats": "plan deliver_twice",
        "reorders": "plan stall_topic",
        "late": "plan stall_topic",
        "truncated": "plan topic_cut",
        "identity": "plan topic_lost",
        "full": "plan refused_record",
    },
    "Kafka: operators' actions": {
        "away": "test a_brake_holds_and_is_kept_in_the_spool_while_the_broker_is_away",
        "slow": "test an_arm_that_cannot_be_recorded_is_not_followed",
        "read-only": "plan refused_record",
        "unanswered": "plan lost_ack",
        "repeats": "test the_spool_is_published_once_in_its_order_also_when_the_broker_comes_back_twice",
        "reorders": "test the_spool_is_published_once_in_its_order_also_when_the_broker_comes_back_twice",
        "full": "plan refused_record",
    },
    "Kafka: read by the history": {
        "away": "plan broker_away",
        "slow": "plan broker_away",
        "read-only": "none",
        "unanswered": "none",
        "forgets": "plan topic_cut",
        "repeats": "test the_same_write_again_leaves_what_one_leaves_and_names_the_same_conflicts",
        "truncated": "plan topic_cut",
        "identity": "plan topic_lost",
        "two masters": "plan hand_over",
        "full": "none",
    },
    "PostgreSQL: ledger": {
        "away": "plan database_away",
        "slow": "plan late_commit",
        "read-only": "plan database_read_only",
        "unanswered": "plan lost_commit",
        "forgets": "plan older_copy",
        "repeats": "plan late_commit",
        "reorders": "plan late_commit",
        "late": "plan late_commit",
        "future": "none",
        "contradicts": "test a_ledger_that_does_not_add_up_is_unhealthy_until_it_does",
        "truncated": "plan lost_request",
        "identity": "test another_database_or_an_empty_ledger_waits_for_the_longest_life",
        "two masters": "plan hand_over",
        "full": "test a_state_of_the_server_is_away",
    },
    "PostgreSQL: history": {
        "away": "plan database_away",
        "slow": "test a_database_that_waits_too_long_is_unknown_and_the_same_again_is_safe",
        "read-only": "plan database_read_only",
        "unanswered": "plan lost_commit",
        "forgets": "plan older_copy",
        "repeats": "plan late_commit",
        "late": "plan late_commit",
        "future": "none",
        "truncated": "plan lost_request",
        "identity": "test history_that_cannot_be_written_says_so_and_makes_up_for_it",
        "two masters": "plan hand_over",
        "full": "test a_state_of_the_server_is_away",
    },
    "PostgreSQL: limits, equity": {
        "away": _LIMITS_KEPT,
        "slow": "test a_raised_limit_that_is_not_kept_in_time_is_withdrawn_for_good",
        "read-only": "plan database_read_only",
        "unanswered": "plan lost_commit",
        "forgets": "plan older_copy",
        "repeats": "test what_was_in_force_is_kept_in_order_and_once_however_often_it_is_sent",
        "reorders": "test the_highest_equity_is_the_newest_and_not_what_commits_last",
        "late": "test a_statement_that_commits_late_brings_nothing_back_into_force",
        "future": "none",
        "truncated": "plan lost_request",
        "full": "test a_state_of_the_server_is_away",
    },
    "PostgreSQL: leases": {
        "away": "test it_waits_for_a_database_that_is_away",
        "read-only": "plan database_read_only",
        "unanswered": "plan lost_commit",
        "repeats": "test uses_are_counted_over_an_hour_and_one_instant_counts_once",
        "identity": "test a_lease_is_found_by_its_token_and_service_only",
        "truncated": "plan lost_request",
        "full": "test a_state_of_the_server_is_away",
    },
    "PostgreSQL: locks of roles": {
        "away": "plan database_away",
        "slow": "test a_holder_that_hears_nothing_gives_the_role_up_within_two_seconds",
        "read-only": "plan database_read_only",
        "unanswered": "plan hand_over",
        "forgets": "plan hand_over",
        "repeats": "none",
        "late": "plan hand_over",
        "future": "none",
        "two masters": "plan hand_over",
        "full": "none",
    },
    "clock": {
        "away": "none",
        "slow": "plan clock_off",
        "read-only": "none",
        "unanswered": "none",
        "forgets": "none",
        "repeats": "none",
        "reorders": "plan clock_off",
        "late": "plan clock_off",
        "future": "plan clock_off",
        "contradicts": "test clock_skewed",
        "lies": "test a_reading_that_our_own_clock_stamps_ahead_is_none",
        "truncated": "none",
        "identity": "none",
        "two masters": "none",
        "full": "none",
    },
    "files": {
        "away": "test a_missing_key_file_is_named",
        "slow": "none",
        "read-only": "test a_brake_holds_even_where_it_can_be_recorded_nowhere",
        "unanswered": "none",
        "repeats": "none",
        "reorders": "none",
        "late": "none",
        "future": "none",
        "contradicts": "none",
        "truncated": "test a_line_that_a_crash_cut_off_loses_nothing_else",
        "identity": "test a_file_open_to_others_is_refused_with_the_remedy",
        "two masters": "test processes_that_start_together_agree_on_one_token",
        "full": "test a_spool_has_a_bound_and_keeps_the_oldest",
    },
    "operator": {
        "away": "none",
        "slow": "none",
        "read-only": "none",
        "unanswered": "plan crash_within",
        "repeats": "plan halt",
        "reorders": "test a_brake_wins_over_an_arm_that_is_still_being_recorded",
        "late": "test what_became_impossible_while_it_was_recorded_is_refused",
        "contradicts": "plan cap",
        "identity": "test what_a_token_allows",
        "future": "none",
        "truncated": "none",
        "full": "none",
    },
    "the process itself": {
        "away": "plan crash",
        "slow": "plan stall",
        "read-only": "none",
        "unanswered": "plan crash_at",
        "forgets": "plan crash_within",
        "repeats": "plan hand_over",
        "late": "plan stall",
        "future": "plan clock_off",
        "truncated": "plan crash_within",
        "identity": "test a_role_that_others_had_in_between_ends_the_process",
        "two masters": "plan hand_over",
    },
}

_HEAD = """# The fault matrix

Every port of the desk against every class of fault. `python -m simulation.matrix` makes this page from
`simulation/matrix.py`; a test checks that it is up to date and that every plan and test in it exists.

A cell names a plan of the [simulation](simulation.md), or a test in *italics*. A hyphen says that the port has no such
fault; **open** says that nothing looks at it yet.
"""


def cells() -> Iterator[tuple[str, str, str]]:
    """Port, class, and the whole cell, `open` where there is none."""
    for port, known in MATRIX.items():
        for kind in CLASSES:
            yield port, kind, known.get(kind, "open")


def page() -> str:
    """The page."""
    counts = Counter(cell.partition(" ")[0] for _port, _kind, cell in cells())
    lines = [_HEAD]
    lines += [
        f"{sum(counts.values())} cells: {counts['plan']} by a plan, {counts['test']} by a test, "
        f"{counts['line']} by a line of code, {counts['none']} without such a fault, {counts['open']} open.",
        "",
        "| class | is |",
        "| ----- | -- |",
        *(f"| {kind} | {says} |" for kind, says in CLASSES.items()),
        "",
        f"| port | {' | '.join(CLASSES)} |",
        f"| ---- |{' -- |' * len(CLASSES)}",
        *(
            f"| {port} | {' | '.join(_shown(known.get(kind, 'open')) for kind in CLASSES)} |"
            for port, known in MATRIX.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _shown(cell: str) -> str:
    word, _, name = cell.partition(" ")
    shown = {"plan": f"`{name}`", "test": f"*{name.replace('_', ' ')}*", "line": f"`{name}`", "none": "-"}
    return shown.get(word, "**open**")


if __name__ == "__main__":
    print(page(), end="")
