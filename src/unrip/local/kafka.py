"""The embedded broker: Apache Kafka's own jars, one KRaft node on loopback.

The jars are fetched once per user with Maven; the data lies in the home. `templates/server.properties` explains each
setting.
"""

import base64
import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from unrip.bus.settings import client_settings
from unrip.local.errors import PreparationFailed
from unrip.local.java import find_java
from unrip.local.paths import Home
from unrip.local.ports import LOOPBACK, PortNeed, answers
from unrip.local.program import Program
from unrip.local.templates import render
from unrip.local.tool import require_tools, run_tool

KAFKA_VERSION = "4.4.0"

_FETCH_ATTEMPTS = 2
_FETCH_TIMEOUT_S = 600
_FORMAT_TIMEOUT_S = 60
_METADATA_TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class KafkaServer:
    """A broker in a home.

    `user_data` is the user's folder for things installed once (`paths.user_data_folder`).
    """

    home: Home
    user_data: Path
    port: int
    controller_port: int

    @property
    def bootstrap(self) -> str:
        """What clients are configured with."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def jars(self) -> Path:
        """Where the jars are, or will be; the folder exists only when it is complete."""
        return self.user_data / f"kafka-{KAFKA_VERSION}"

    def port_needs(self) -> list[PortNeed]:
        """Return the ports that must be free before it starts."""
        return [
            PortNeed(port=self.port, program="Kafka", setting="--kafka-port"),
            PortNeed(
                port=self.controller_port, program="Kafka's controller", setting="--kafka-port, whose next one it is"
            ),
        ]

    def prepare(self, progress: Callable[[str], None], *, offline: bool = False) -> None:
        """Install the jars and format the data folder, each unless that was done before; write the configuration.

        Raises:
            ToolMissing: Java or Maven is not there.
            PreparationFailed: Maven or the format failed, or the jars are missing and `offline` forbids to fetch them.

        """
        java = find_java()
        if not self.jars.is_dir():
            if offline:
                raise PreparationFailed(f"Kafka is not installed in {self.jars}: run once without --offline")
            progress(f"fetching Apache Kafka {KAFKA_VERSION} (once per user, into {self.jars})")
            fetch_jars(self.jars)
        self._write_configuration("server.properties", self._data)
        (self.home.kafka / "log4j2.xml").write_text(render("log4j2.xml"), encoding="utf-8")
        if not self._data.is_dir():
            progress("formatting Kafka's data folder")
            self._format(java)

    def program(self) -> Program:
        """Return what the supervisor runs."""
        return Program(
            name="kafka",
            argv=[*self._java(find_java(), "-Xms256m", "-Xmx512m"), "kafka.Kafka", str(self._properties)],
            ready=self.is_ready,
            priority=10,
            stop_wait_s=20,
            ready_within_s=60,
        )

    def is_ready(self) -> bool:
        """Whether the broker answers a metadata request; takes at most about two seconds."""
        return answers(self.port) and serves_metadata(self.bootstrap)

    @property
    def _data(self) -> Path:
        return self.home.kafka / "data"

    @property
    def _properties(self) -> Path:
        return self.home.kafka / "server.properties"

    def _write_configuration(self, name: str, data: Path) -> Path:
        path = self.home.kafka / name
        text = render("server.properties", port=self.port, controller_port=self.controller_port, data=data)
        path.write_text(text, encoding="utf-8")
        return path

    def _java(self, java: str, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.home.kafka / 'log4j2.xml'}"
        return [java, *options, logging, "-cp", f"{self.jars}/*"]

    def _format(self, java: str) -> None:
        """Format beside the final place, so that a format that was interrupted is done again."""
        draft = self.home.kafka / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        properties = self._write_configuration("format.properties", draft)
        tool = [*self._java(java), "kafka.tools.StorageTool", "format", "--standalone"]
        run_tool(
            [*tool, "-t", _cluster_id(), "-c", str(properties)], what="formatting Kafka", timeout_s=_FORMAT_TIMEOUT_S
        )
        draft.rename(self._data)
        properties.unlink()


def fetch_jars(target: Path) -> None:
    """Fetch Kafka and all it needs with Maven, whole or not at all; two at a time do not disturb each other.

    Raises:
        ToolMissing: there is no Maven, or no Java for it.
        PreparationFailed: Maven failed twice.

    """
    # Maven runs on the machine's own Java, of any version, because that one trusts what the machine trusts.
    require_tools({"mvn": "maven", "java": "default-jre-headless"}, purpose="fetching Kafka with Maven")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as scratch:
        pom, jars = Path(scratch) / "pom.xml", Path(scratch) / "jars"
        pom.write_text(render("pom.xml", kafka_version=KAFKA_VERSION), encoding="utf-8")
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        _fetch_with_retry(["mvn", "-q", "-B", "--strict-checksums", "-f", str(pom), *copy])
        # The other process was faster: its folder is as good as ours.
        with contextlib.suppress(OSError):
            jars.rename(target)
    if not target.is_dir():
        raise PreparationFailed(f"Kafka could not be put into {target}: is the folder writable?")


def _fetch_with_retry(argv: list[str]) -> None:
    # Maven keeps what it has, so another try goes on where a lost connection ended the first one.
    for attempt in range(1, _FETCH_ATTEMPTS + 1):
        try:
            run_tool(argv, what="fetching Kafka with Maven", timeout_s=_FETCH_TIMEOUT_S)
        except PreparationFailed as failure:
            if attempt == _FETCH_ATTEMPTS:
                remedy = "check the network and Maven's settings, or name another Kafka in [kafka] bootstrap"
                raise PreparationFailed(f"{failure}: {remedy}") from None
        else:
            return


def serves_metadata(bootstrap: str) -> bool:
    """Whether a broker answers for a bootstrap address; takes at most about two seconds."""
    # It asks as every client of ours does: with settings of its own it could succeed where they find nobody.
    client = AdminClient(client_settings(bootstrap))
    try:
        return bool(client.list_topics(timeout=_METADATA_TIMEOUT_S).brokers)
    except KafkaException:
        return False


def _cluster_id() -> str:
    # Kafka's own form: 16 random bytes in URL-safe base64. A leading hyphen would read as an option.
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
