"""Every frame that came in stands in exactly one class, and no frame stops the consumer."""

import json
import uuid
from functools import partial

from support.cli import unrip
from support.desk import Desk

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
LETTER = "SELECT event->'payload' AS letter FROM history.dead_letter WHERE event->'payload'->>'excerpt' = %s"


def frames(desk: Desk) -> dict[str, int]:
    classes: dict[str, int] = desk.state("near-intents-ingest")["frames"]
    assert classes.pop("frames_received") == sum(classes.values())
    return classes


def test_every_frame_is_in_one_class(armed: Desk) -> None:
    before = frames(armed)
    armed.result(armed.world.demand(**BTC_IN), "settled")
    armed.world.demand(asset_in="nep141:wrap.near", asset_out="nep141:btc.omft.near", amount_in="10", raw=True)
    armed.world.fault(
        "relay", "malformed_frame", text='{"jsonrpc":"2.0","method":"event","params":{"data":{"quote_id":'
    )
    armed.until(lambda: frames(armed)["dead_letters"] == before["dead_letters"] + 1, what="dead letter")
    after = frames(armed)
    assert after["quotes_published"] == before["quotes_published"] + 1
    assert after["status_notices"] > before["status_notices"]
    told = json.loads(unrip(armed, "status", "--json").stdout)["frames"]
    assert told["sum"] == told["received"]


def test_a_malformed_frame_becomes_a_dead_letter_with_its_reason(armed: Desk) -> None:
    mark = f"not json {uuid.uuid4()}"
    armed.world.fault("relay", "malformed_frame", text=mark)
    letters = armed.until(lambda: armed.sql(LETTER, mark), what="dead letter in PostgreSQL")
    assert letters[0]["letter"]["reason"]
    armed.result(armed.world.demand(**BTC_IN), "settled")


def test_an_invalid_record_becomes_a_dead_letter_and_stops_nobody(armed: Desk) -> None:
    mark = f"not an event {uuid.uuid4()}"
    for topic in ("cmd.execute_trade", "norm.swap_demand", "ref.market_price"):
        armed.produce(topic, "a stranger", f"{mark} {topic}".encode())
        letters = armed.until(partial(armed.sql, LETTER, f"{mark} {topic}"), what="dead letter")
        assert letters[0]["letter"]["source"] == topic
    armed.result(armed.world.demand(**BTC_IN), "settled")


def test_the_pair_filter_is_set_disabled_and_reset_at_run_time(armed: Desk) -> None:
    armed.act("near-intents-ingest", "pair-filter", mode="disable")
    armed.until(lambda: armed.client.is_ready("near-intents-ingest"), what="the new subscription")
    before = frames(armed)
    armed.world.demand(asset_in="nep141:wrap.near", asset_out="nep141:btc.omft.near", amount_in="10", raw=True)
    armed.until(lambda: frames(armed)["quotes_filtered"] == before["quotes_filtered"] + 1, what="filtered, not decided")
    armed.act("near-intents-ingest", "pair-filter", mode="reset")
    armed.until(lambda: armed.client.is_ready("near-intents-ingest"), what="the new subscription")
    armed.result(armed.world.demand(**BTC_IN), "settled")
