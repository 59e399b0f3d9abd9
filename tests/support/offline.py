"""A network namespace in which only loopback is up: an offline laptop, a container without network."""

import functools
import subprocess

_SCRIPT = 'ip link set lo up && exec "$@"'
#: Without and with a user namespace of its own: root needs none, and nobody else may do without.
_WAYS = (["unshare", "-n"], ["unshare", "-rn"])


@functools.cache
def offline() -> tuple[list[str], str]:
    """Words before a command that run it without network; none and the reason where this machine does not allow it."""
    reason = ""
    for way in _WAYS:
        words = [*way, "sh", "-c", _SCRIPT, "sh"]
        try:
            done = subprocess.run([*words, "true"], capture_output=True, text=True, timeout=20, check=False)
        except OSError as error:
            reason = str(error)
            continue
        if done.returncode == 0:
            return words, ""
        reason = done.stderr.strip()
    return [], f"no network namespace can be made here: {reason}"
