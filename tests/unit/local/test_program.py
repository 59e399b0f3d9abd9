import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrip.local.program import Program

#: Anything that fits into a process's argument or environment.
text = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40)


def program(**changes: object) -> Program:
    given = {"name": "echo", "argv": ["true"], "ready": lambda: True, **changes}
    return Program(**given)  # type: ignore[arg-type]


def run(script: str) -> bytes:
    return subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True, timeout=10).stdout


@settings(max_examples=60, deadline=None)
@given(st.lists(text, max_size=4))
def test_a_launch_script_hands_over_any_arguments_unchanged(arguments: list[str]) -> None:
    show = ["sh", "-c", r'for a; do printf "%s\0" "$a"; done', "show"]
    said = run(program(argv=[*show, *arguments]).launch_script())
    assert said.decode().split("\0")[:-1] == arguments


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.from_regex(r"UNRIP_[A-Z0-9_]{1,12}", fullmatch=True), text, max_size=3))
def test_a_launch_script_hands_over_any_environment_unchanged(env: dict[str, str]) -> None:
    said = run(program(argv=["env", "-0"], env=env).launch_script()).decode().split("\0")
    assert {f"{name}={value}" for name, value in env.items()} <= set(said)


def test_it_starts_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a folder's name"
    folder.mkdir()
    assert run(program(argv=["pwd"], directory=folder).launch_script()).decode().strip() == str(folder)


@pytest.mark.parametrize("name", ["", "Kafka", "a b", "x\n[supervisord]", "../x", "9"])
def test_a_name_that_would_break_the_configuration_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="program name"):
        program(name=name)


@pytest.mark.parametrize("name", ["", "A B", "A=B", "1A", "A;reboot"])
def test_a_variable_that_no_shell_exports_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="environment variable"):
        program(env={name: "x"})
