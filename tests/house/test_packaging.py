"""What a bare machine relies on: one root command told everywhere alike, and locks that fit and name no registry."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ["requirements.lock", "requirements-jdk.lock", "requirements-postgres.lock"]


def locked(name: str) -> dict[str, Version]:
    pins = re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {package: Version(version) for package, version in pins}


def wanted() -> list[str]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    return [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"], *(r for e in extras for r in e)]


def root_command() -> str:
    return subprocess.run([ROOT / "scripts/system-packages"], capture_output=True, text=True, check=True).stdout.strip()


def test_the_readme_quotes_the_one_command_that_needs_root() -> None:
    assert f"\n{root_command()}\n" in (ROOT / "README.md").read_text()


def test_what_an_error_tells_to_install_is_part_of_that_command() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src/unrip/local").glob("*.py"))
    told = set(re.findall(r"\{INSTALL_COMMAND\} ([a-z-]+)", sources)) | set(
        re.findall(r'"(?:mvn|java)": "([^"]+)"', sources)
    )
    assert told == {"maven", "default-jre-headless"}
    assert told <= set(root_command().split())


@pytest.mark.parametrize("requirement", wanted())
def test_the_lock_fits_what_the_project_asks_for(requirement: str) -> None:
    asked = Requirement(requirement)
    assert locked("requirements.lock")[asked.name] in asked.specifier


@pytest.mark.parametrize("group", ["jdk", "postgres"])
def test_what_not_every_machine_needs_is_locked_apart(group: str) -> None:
    (asked,) = map(Requirement, PROJECT["dependency-groups"][group])
    assert locked(f"requirements-{group}.lock")[asked.name] in asked.specifier
    assert asked.name not in locked("requirements.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_hashes_and_names_no_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
