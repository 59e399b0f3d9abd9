"""`python -m unrip_world verify` as a user runs it: vector files, single cases, single signed objects, wrong input."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cli import run_unrip
from support.vectors import cases
from unrip_world.cases import CaseError, judge_alone, read_cases, read_json

Case = dict[str, Any]
ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests" / "vectors"
MODEL = cases("verifier_model")
VERDICTS = cases("contract_verdicts")
SIGNED = cases("other_standards")[0]["signed_data"]


def verify(*arguments: object, stdin: object = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "unrip_world", "verify", *map(str, arguments)]
    text = stdin if isinstance(stdin, str) else json.dumps(stdin)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, input=text, env=environment, capture_output=True, text=True, timeout=60, check=False)


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", ["verifier_model", "contract_verdicts"])
def test_a_whole_file_of_cases_gives_one_line_each(name: str) -> None:
    verdicts = lines(verify("--cases", VECTORS / f"{name}.json"))
    assert [verdict["id"] for verdict in verdicts] == [case["id"] for case in cases(name)]
    for verdict, case in zip(verdicts, cases(name), strict=True):
        expected = case["expected"]
        assert set(verdict) == {"id", "ok", "error", "balances_after"}
        assert verdict["ok"] == expected["ok"]
        if expected["ok"]:
            assert (verdict["error"], verdict["balances_after"]) == (None, expected["balances_after"])
        else:
            assert verdict["error"].startswith(expected.get("error", expected.get("error_prefix")))
            held = {who: {t: a for t, a in held.items() if a != "0"} for who, held in case["state"]["balances"].items()}
            assert verdict["balances_after"] == {who: tokens for who, tokens in held.items() if tokens}


def test_simulation_of_a_whole_file() -> None:
    verdicts = lines(verify("--simulate", "--cases", VECTORS / "contract_verdicts.json"))
    for verdict, case in zip(verdicts, VERDICTS, strict=True):
        error = case["expected"].get("error", "")
        unbalanced = error.startswith("invariant violated")
        usual = {"ok": case["expected"]["ok"] or unbalanced, "balanced": case["expected"]["ok"]}
        expected = case.get("expected_simulation", usual)
        assert (verdict["ok"], verdict["balanced"]) == (expected["ok"], expected.get("balanced", False))
        assert (verdict["simulation"] is not None) == verdict["ok"]


def test_one_case_and_a_list_of_cases_by_any_way(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(MODEL[0]))
    one = lines(verify("--cases", path))
    assert [verdict["id"] for verdict in one] == [MODEL[0]["id"]]
    assert (
        lines(verify(path)) == lines(verify(stdin=MODEL[0])) == lines(verify("--cases", "-", stdin=[MODEL[0]])) == one
    )


def test_unrip_world_passes_its_arguments_on() -> None:
    done = run_unrip("world", "verify", "--cases", str(VECTORS / "verifier_model.json"))
    assert done.stdout == verify("--cases", VECTORS / "verifier_model.json").stdout
    assert done.returncode == 0


def test_a_signed_object_without_a_state() -> None:
    done = verify("--json", "--now", "2030-01-01T00:00:00Z", stdin=SIGNED)
    (verdict,) = lines(done)
    case = cases("other_standards")[0]
    assert verdict["valid"]
    assert verdict["intent_hash"] == case["intent_hash"]
    assert (verdict["signer_id"], verdict["public_key"]) == (case["implicit_account_id"], case["public_key"])
    assert (verdict["error"], verdict["state_after"]) == (None, None)
    assert "balance sufficient" in verdict["assumed"]
    told = verify("-", "--now", "2040-01-01T00:00:00Z", stdin=SIGNED)
    assert told.returncode == 1
    assert told.stdout.splitlines()[0].split(":", 1)[1].strip() == "no: deadline has expired"


def test_a_signed_object_in_a_state_and_the_state_after(tmp_path: Path) -> None:
    case = next(case for case in MODEL if len(case["signed"]) == 1 and case["expected"]["ok"])
    path = tmp_path / "state.json"
    path.write_text(json.dumps(case["state"]))
    (first,) = lines(verify("--json", "--state", path, stdin=case["signed"][0]))
    assert first["valid"]
    assert first["state_after"]["balances"] == case["expected"]["balances_after"]
    # The state after is a state: the same intent a second time meets its own nonce.
    path.write_text(json.dumps(first["state_after"]))
    again = verify("--json", "--state", path, stdin=case["signed"][0])
    assert again.returncode == 1
    assert json.loads(again.stdout)["error"] == "nonce was already used"
    assert json.loads(again.stdout)["state_after"] == first["state_after"]


def test_one_side_of_a_trade_is_simulated(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(MODEL[0]["state"]))
    (verdict,) = lines(verify("--json", "--simulate", "--state", path, stdin=MODEL[0]["signed"][1]))
    assert verdict["valid"]
    unmatched = verdict["simulation"]["invariant_violated"]["unmatched_deltas"]
    # 2222 satoshi are given, of which 1 is the fee.
    assert unmatched["nep141:btc.omft.near"] == "-2221"
    late = verify("--json", "--state", path, "--now", "2031-01-01T00:00:00Z", stdin=MODEL[0]["signed"][1])
    assert json.loads(late.stdout)["error"] == "deadline has expired"


@pytest.mark.parametrize("case", cases("other_standards"), ids=lambda case: case["id"])
def test_a_forged_text_of_an_implicit_account_is_never_valid(case: Case) -> None:
    forged = json.loads(json.dumps(case["signed_data"]).replace("2030-", "2031-"))
    assert judge_alone(case["signed_data"], now_ns=0)["valid"]
    assert not judge_alone(forged, now_ns=0)["valid"]


def changed(**state: Any) -> Case:
    return {**MODEL[0], "state": {**MODEL[0]["state"], **state}}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"signed": []}, "case 1: Object missing required field `state`"),
        ([MODEL[0], changed(fee_pips="1")], "case 2 ('pub-vm-01'): Expected `int`, got `str` - at `$.state.fee_pips`"),
        (changed(current_salt="zz"), "case 1 ('pub-vm-01'): salt 'zz' is not 4 bytes in hex"),
        (changed(current_salt="00"), "salt '00' is not 4 bytes"),
        (changed(now="noon"), "RFC 3339"),
        (changed(public_keys={"a.near": ["ed25519:1"]}), "invalid length"),
        (changed(used_nonces={"a.near": ["AA"]}), "nonce has 1 bytes"),
        (changed(balances={"a.near": {"nep141:b.near": "-1"}}), "balance '-1'"),
        (changed(balances={"a.near": {"b": "1"}}), "invalid token id 'b'"),
        ({"cases": 5}, "neither a case"),
        (7, "neither a signed object nor a case"),
    ],
)
def test_wrong_input_is_one_line_with_place_and_reason(document: object, told: str) -> None:
    if not isinstance(document, int):
        with pytest.raises(CaseError) as refused:
            read_cases(document)
        assert told in str(refused.value)
        assert "\n" not in str(refused.value)
        return
    done = verify(stdin=document)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"unrip_world verify: standard input: {told}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no-such-file"], "no-such-file: cannot be read: No such file or directory"),
        (["--cases", "a", "b"], "give either FILE or --cases FILE"),
        (["--simulate"], "--simulate needs the contract's state: give --state FILE"),
        (["--now", "noon"], "--now 'noon'"),
        (["--state", "-"], "standard input: not JSON"),
        (["--loud"], "unrecognized arguments: --loud"),
        (["--cases"], "expected one argument"),
    ],
)
def test_wrong_arguments_end_with_2_and_one_line(arguments: list[str], told: str) -> None:
    done = verify(*arguments, stdin=SIGNED)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_stops_early_sees_no_traceback() -> None:
    command = [sys.executable, "-m", "unrip_world", "verify", "--cases", str(VECTORS / "contract_verdicts.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    field=st.sampled_from(["standard", "payload", "public_key", "signature", "address", "domain", "timestamp"]),
    value=values,
    base=st.sampled_from([case["signed_data"] for case in cases("other_standards")] + MODEL[0]["signed"]),
)
def test_no_signed_object_breaks_the_judge(field: str, value: object, base: Case) -> None:
    verdict = judge_alone({**base, field: value}, now_ns=0)
    assert verdict["valid"] == (verdict["error"] is None)


@given(document=values)
def test_a_document_is_cases_or_refused(document: object) -> None:
    with suppress(CaseError):
        assert all(case.state.now for case in read_cases(document))


@given(text=st.binary())
def test_bytes_are_a_document_or_refused(text: bytes) -> None:
    with suppress(CaseError):
        assert read_json(text) == json.loads(text)
