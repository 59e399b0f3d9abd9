"""Every target on its kept corpus and on a bounded number of changes to it; the long run is libFuzzer's."""

import random
from pathlib import Path

import pytest

from fuzz import __main__ as program
from fuzz.crashes import keep, reproduce
from fuzz.mutation import mutated
from fuzz.targets import CORPUS, TARGETS, Target, Understood, corpus

INPUTS = 2_000
SEED = 20_261_124

every_target = pytest.mark.parametrize("name", TARGETS)


def run(name: str, target: Target, data: bytes, folder: Path) -> Understood:
    """Run one input; a crash keeps it and says how to see it again."""
    try:
        return target(data)
    except Exception as error:
        path = keep(data, folder)
        error.add_note(f"reproduce: {reproduce(name, path)}")
        raise


@every_target
def test_the_kept_inputs_do_no_harm_and_every_parser_understands_one(name: str) -> None:
    """A parser that refuses all of them is reached by none of their changes either."""
    understood = [run(name, TARGETS[name], path.read_bytes(), CORPUS / name) for path in corpus(name)]
    assert [parser for parser in understood[0] if not any(each[parser] for each in understood)] == []


@every_target
def test_changes_to_the_kept_inputs_do_no_harm(name: str) -> None:
    chance = random.Random(SEED)  # noqa: S311 - the same changes every time
    seeds = [path.read_bytes() for path in corpus(name)]
    understood = [run(name, TARGETS[name], mutated(chance.choice(seeds), chance), CORPUS / name) for _ in range(INPUTS)]
    # Changes that break everything would test the JSON decoder only; changes that break nothing test nothing.
    assert 0 < sum(any(each.values()) for each in understood) < INPUTS


def test_a_crash_keeps_its_input_and_says_how_to_see_it_again(tmp_path: Path) -> None:
    def fragile(data: bytes) -> Understood:
        raise RuntimeError(f"{len(data)} bytes")

    with pytest.raises(RuntimeError) as caught:
        run("relay", fragile, b"{}", tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == b"{}"
    assert caught.value.__notes__ == [f"reproduce: PYTHONPATH=src python -m fuzz relay --input {kept}"]


def test_one_input_can_be_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = tmp_path / "frame"
    frame.write_text('{"channel":"heartbeat"}')
    monkeypatch.setattr("sys.argv", ["fuzz", "kraken", "--input", str(frame)])
    assert program.main() == 0
    frame.write_text("{")
    assert program.main() == 0
    assert capsys.readouterr().out.split() == ["understood", "refused"]


@pytest.mark.long
@every_target
def test_fifteen_seconds_of_libfuzzer_find_nothing(name: str) -> None:
    assert program.fuzzed(name, program.SECONDS_DEFAULT)
