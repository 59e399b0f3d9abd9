"""The kill switch: stop new offers at once, take the live ones back, and show which were taken first."""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated, Any

import typer

from unrip.cli.client import ControlClient, settings_of
from unrip.cli.controls import act_on_armed, brake
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, JsonOption, ReasonOption
from unrip.cli.terminal import columns, write, write_json

_EXECUTOR = "trade-executor"
_LOOK_AGAIN_S = 0.25

RevokeOption = Annotated[bool, typer.Option("--revoke", help="Take live offers back, too, by spending their nonces.")]
WaitOption = Annotated[int, typer.Option("--wait", min=0, max=600, help="Seconds to wait for the chain's evidence.")]


def halt(
    reason: ReasonOption,
    revoke: RevokeOption = False,  # noqa: FBT002 - Typer's form
    wait_s: WaitOption = 20,
    json_output: JsonOption = False,  # noqa: FBT002
    config: ConfigOption = None,
) -> None:
    """Stop all new offers at once; only an explicit arm ends it. Works without Kafka and PostgreSQL.

    With --revoke, exit 0 when the end of every live offer is known, 1 when some are not known yet, 3 when a service did
    not answer; what the executor took back is printed all the same.
    """
    client = ControlClient(settings_of(config))
    # With `--json` only the document goes to stdout.
    if not revoke:
        brake(client, "halt", reason=reason, aside=json_output)
        return
    report, failures = _taken_back(client, reason=reason, wait_s=wait_s, aside=json_output)
    if report is not None:
        _write(report, json_output=json_output)
    if failures:
        raise CommandFailed("; ".join(failures))
    raise typer.Exit(Exit.OK if report is not None and not _is_open(report) else Exit.NO)


def _taken_back(
    client: ControlClient, *, reason: str, wait_s: int, aside: bool
) -> tuple[dict[str, Any] | None, list[str]]:
    """What became of the offers, where the executor acted and reports it, and what failed."""
    failures = act_on_armed(client, "halt", reason=reason, aside=aside, revoke=True)
    failed = list(failures.values())
    if _EXECUTOR in failures:
        return None, failed
    try:
        return _report(client, wait_s), failed
    except CommandFailed as error:
        return None, [*failed, str(error)]


def _report(client: ControlClient, wait_s: int) -> dict[str, Any]:
    """What became of the offers, once every end is known or the wait is over."""
    deadline = time.monotonic() + wait_s
    while True:
        report: dict[str, Any] | None = client.state(_EXECUTOR)["revocation"]
        if report is None:
            raise CommandFailed(
                f"{_EXECUTOR} has restarted since it was told to take offers back and knows nothing of it: run"
                " `unrip halt --revoke` again"
            )
        if not _is_open(report) or time.monotonic() >= deadline:
            return report
        time.sleep(_LOOK_AGAIN_S)


def _write(report: dict[str, Any], *, json_output: bool) -> None:
    if json_output:
        write_json(report)
    else:
        _print(report)
    write(*_left_to_do(report), err=json_output)


def _is_open(report: dict[str, Any]) -> bool:
    return bool(report["unknown"] or report["waits_for_ledger"])


def _print(report: dict[str, Any]) -> None:
    rows = [
        (
            offer["quote_id"],
            offer["direction"],
            offer["offer_deadline"],
            f"{offer['publication']} {offer['reason']}".strip(),
            _OUTCOMES.get(offer["outcome"], offer["outcome"]),
            "yes" if offer["recorded"] else "no",
            _evidence(offer["evidence"]),
        )
        for offer in report["offers"]
    ]
    if rows:
        write(*columns([("quote", "direction", "offer ends", "relay", "outcome", "recorded", "evidence"), *rows]))
    counts = Counter(_OUTCOMES.get(offer["outcome"], offer["outcome"]) for offer in report["offers"])
    summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    write(f"{len(report['offers'])} live offers: {summary or 'none to revoke'}")


#: How the ends that the chain shows are printed; other states are printed as they are.
_OUTCOMES = {"settled": "taken first", "lapsed": "lapsed (never taken)", "dropped": "dropped (never sent)"}


def _evidence(evidence: dict[str, Any] | None) -> str:
    if evidence is None:
        return "none yet"
    used = "nonce used" if evidence["nonce_used"] else "nonce unused"
    parts = [f"{used} at block {evidence['height']}"]
    if evidence["executed"] is not None:
        parts.append(f"by intent {evidence['executed']}")
    if evidence["tx_hash"] is not None:
        parts.append(f"in transaction {evidence['tx_hash']}")
    return " ".join(parts)


def _left_to_do(report: dict[str, Any]) -> list[str]:
    """What is not known yet and what the operator can do about it."""
    lines = []
    open_offers = [offer for offer in report["offers"] if offer["outcome"] == "unknown"]
    if report["waits_for_ledger"]:
        lines.append(
            "trade-executor has not read its ledger since its start, so it knows no offer of an earlier life; it"
            " revokes them as soon as PostgreSQL answers"
        )
    if unsent := [offer for offer in open_offers if offer["publication"] in {"unreachable", "refused"}]:
        lines.append(
            f"{len(unsent)} not revoked: the relay did not take it. Run `unrip halt --revoke` again; until its end an"
            " offer can still be taken"
        )
    if waiting := len(open_offers) - len(unsent):
        lines.append(
            f"{waiting} not known yet: no evidence has shown the end. Look again with `unrip halt --revoke`; the hold"
            " stays until then"
        )
    return lines
