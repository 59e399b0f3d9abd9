"""The command line as an operator uses it against a running desk."""

import json
from decimal import Decimal
from pathlib import Path

from support.cli import unrip
from support.desk import Desk

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}


def test_status_is_one_line_per_answer_and_an_exit_code(desk: Desk) -> None:
    told = unrip(desk, "status")
    assert told.returncode == 1
    assert told.stdout.startswith("trade-ready: base_in no (disarmed")
    desk.arm()
    told = unrip(desk, "status")
    assert told.returncode == 0
    assert told.stdout.startswith("trade-ready: base_in yes")
    state = json.loads(unrip(desk, "status", "--json").stdout)
    assert state["services"]["trade-executor"]["ready"]
    assert state["retention_ms"]["cmd.execute_trade"] == 30 * 86_400_000


def test_arm_disarm_halt_pause_resume(desk: Desk) -> None:
    assert unrip(desk, "arm", "-r", "scenario", "--direction", "base_in", "--lease-minutes", "5").returncode == 0
    assert desk.state("strategy-engine")["armed"] == desk.state("trade-executor")["armed"] == "base_in"
    assert unrip(desk, "disarm", "-r", "scenario").returncode == 0
    assert desk.state("trade-executor")["armed"] == "none"
    assert unrip(desk, "halt", "-r", "scenario").returncode == 0
    assert desk.state("strategy-engine")["halted"] == "true"
    assert unrip(desk, "arm", "-r", "scenario").returncode == 0
    assert unrip(desk, "pause", "inventory-sync", "-r", "scenario").returncode == 0
    assert desk.state("inventory-sync")["paused"] in {True, "true"}
    assert unrip(desk, "resume", "inventory-sync", "-r", "scenario").returncode == 0


def test_limits_are_shown_changed_and_refused(desk: Desk) -> None:
    assert unrip(desk, "limits", "notional_cap_eur=24", "base_max=7.5", "-r", "scenario").returncode == 0
    shown = unrip(desk, "limits").stdout
    assert "notional_cap_eur         24\n" in shown
    assert "base_max                 7.5\n" in shown
    assert "base_min                 none\n" in shown
    assert unrip(desk, "limits", "notional_cap_eur=101", "-r", "scenario").returncode == 1
    desk.act("strategy-engine", "limits", notional_cap_eur="25", base_max="none")
    assert unrip(desk, "threshold", "2 %", "-r", "scenario").returncode == 0
    nothing = unrip(desk, "accept-balance", "BTC", "--unexplained=-1", "-r", "scenario")
    assert (nothing.returncode, "nothing of BTC is unexplained" in nothing.stderr) == (1, True)


def test_explain_finds_by_prefix_and_says_what_it_does_not_know(armed: Desk) -> None:
    quote_id = armed.world.demand(direction="btc_to_eure", amount_in="100")
    armed.decision(quote_id)
    told = unrip(armed, "explain", quote_id[:18])
    assert told.returncode == 0
    assert "refused: below_minimum" in told.stdout
    assert "REFUSED" in told.stdout
    unknown = unrip(armed, "explain", "no-such-quote")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("unrip: PostgreSQL knows no quote")


def test_evidence_is_files(armed: Desk, tmp_path: Path) -> None:
    quote_id = armed.world.demand(**BTC_IN)
    armed.result(quote_id, "settled")
    told = unrip(armed, "evidence", quote_id, "--out", str(tmp_path))
    assert told.returncode == 0, told.stderr
    venue = json.loads((tmp_path / "venue.json").read_text())
    assert venue[0]["request"] == armed.submissions(quote_id)[0]["raw"]
    assert venue[0]["response"]["accepted"] is True
    assert Decimal(json.loads((tmp_path / "commands.json").read_text())[0]["gross_edge"]) > Decimal("0.02")


def test_config_show_masks_secrets(desk: Desk) -> None:
    shown = json.loads(unrip(desk, "config", "show", "--json").stdout)
    assert shown["kafka"]["bootstrap"] == desk.settings.kafka.bootstrap
    password = desk.settings.postgres_url().split(":")[2].split("@")[0]
    assert password not in json.dumps(shown)


def test_tail_shows_events_until_it_is_stopped(armed: Desk) -> None:
    quote_id = armed.world.demand(**BTC_IN)
    with armed.tailing("--json", "--from-beginning", "--topic", "norm.swap_demand") as lines:
        assert any(json.loads(line)["payload"]["quote_id"] == quote_id for line in lines)


def test_prepare_finds_nothing_missing_on_a_running_desk(desk: Desk) -> None:
    told = unrip(desk, "prepare")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "migrations applied: none were missing" in told.stdout
    assert "topics created: none were missing" in told.stdout
