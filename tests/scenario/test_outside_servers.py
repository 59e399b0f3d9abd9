"""The same programs against somebody else's Kafka and PostgreSQL, named by URL: neither server is ours."""

from pathlib import Path

from support.desk import running_desk
from support.servers import Servers
from unrip.net.secret_file import write_secret

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}


def test_a_trade_settles_on_servers_that_are_not_ours(servers: Servers, tmp_path: Path) -> None:
    url_file = tmp_path / "postgres.url"
    write_secret(url_file, servers.create_database("outside"))
    base = tmp_path / "desk.toml"
    base.write_text(f'[kafka]\nbootstrap = "{servers.kafka_bootstrap}"\n[postgres]\nurl_file = "{url_file}"\n')
    with running_desk(base=base) as desk:
        assert desk.settings.kafka.bootstrap == servers.kafka_bootstrap
        assert not {"kafka", "postgres"} & desk.pids().keys()
        assert not desk.local.home.postgres.exists()
        desk.arm()
        quote_id = desk.world.demand(**BTC_IN)
        desk.result(quote_id, "settled")
        assert desk.sql("SELECT 1 AS one FROM history.trade_chain WHERE quote_id = %s", quote_id)
