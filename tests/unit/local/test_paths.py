import stat
from pathlib import Path

from unrip.local.paths import Home, user_data_folder
from unrip.net.secret_file import write_secret


def test_secrets_and_the_control_socket_are_for_the_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "var")
    home.create()
    home.create()
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (home.secrets, home.run)} == {0o700}
    assert all(folder.is_dir() for folder in (home.kafka, home.log, home.evidence))


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    write_secret(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_user_data_folder_follows_the_xdg_specification() -> None:
    assert user_data_folder({"HOME": "/h", "XDG_DATA_HOME": "/d"}) == Path("/d/unrip")
    assert user_data_folder({"HOME": "/h", "XDG_DATA_HOME": ""}) == Path("/h/.local/share/unrip")
    assert user_data_folder({"HOME": "/h", "XDG_DATA_HOME": "relative"}) == Path("/h/.local/share/unrip")
