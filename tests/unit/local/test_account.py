"""Stepping down from root, also where root is all there is."""

import subprocess
import sys

import pytest

from unrip.local.account import Account

_STEPS_DOWN = """
import subprocess
from unrip.local.account import unprivileged_account
account = unprivileged_account()
told = subprocess.run([*account.become(stop_signal="INT"), "id", "-u"], capture_output=True, text=True, check=True)
print(account.ourselves, told.stdout.strip() == str(account.uid))
"""


def test_root_of_a_user_namespace_becomes_nobody_by_name() -> None:
    """`unshare -r` maps one user: there is no other account to change to, and PostgreSQL refuses to be root."""
    done = subprocess.run(
        ["unshare", "-r", sys.executable, "-c", _STEPS_DOWN],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PYTHONPATH": "src", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )
    if "unshare" in done.stderr and not done.stdout:
        pytest.skip(f"no user namespace can be made here: {done.stderr.strip()}")
    assert done.stdout == "True True\n", done.stderr


def test_the_stop_signal_is_asked_for_in_the_step_that_changes_the_account() -> None:
    real = Account(uid=65534, gid=65534).become(stop_signal="INT")
    assert real[:3] == ["setpriv", "--pdeathsig", "INT"]
    assert real[-1] == "--"
    named = Account(uid=65534, gid=65534, ourselves=True).become(stop_signal="INT")
    assert named[-4:] == ["setpriv", "--pdeathsig", "INT", "--"]
    assert Account(uid=1, gid=2, ourselves=True).become()[-1] == "--"
