"""Topics: create the missing ones, name the differing ones, read their ids and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from unrip.bus.kafka_asking import Asking
from unrip.bus.kafka_errors import NO_LEADER_YET, bus_error
from unrip.bus.ports import BusError, SettingDifference, TopicReport
from unrip.bus.settings import CLIENT_ID, REQUEST_TIMEOUT_S
from unrip.messages.topics import Topic

_NO_LEADER_PAUSE_S = 0.05

K = TypeVar("K")
V = TypeVar("V")


def wanted_settings(topic: Topic, *, replication_factor: int) -> dict[str, str]:
    """The settings of a topic under Kafka's names."""
    return {
        "retention.ms": str(topic.retention_ms),
        # A compacted topic also forgets: beats of an instance that is long gone are no use.
        "cleanup.policy": "compact,delete" if topic.compacted else "delete",
        # With three replicas one broker may be away, and an acknowledged record is still on two.
        "min.insync.replicas": str(max(1, replication_factor - 1)),
    }


class KafkaAdmin:
    """Asks the cluster about topics, and creates them."""

    def __init__(self, bootstrap: str, *, timeout_s: float = REQUEST_TIMEOUT_S, client_id: str = CLIENT_ID) -> None:
        self._asking = Asking(bootstrap, client_id=client_id)
        self._timeout_s = timeout_s

    async def ensure_topics(self, topics: Iterable[Topic], *, replication_factor: int = 1) -> TopicReport:
        """Create what is missing; report, and leave alone, what has other settings.

        Raises:
            BusUnavailable: the broker did not answer.
            BusError: it refused, for example because it has fewer brokers than replicas were asked for.

        """
        wanted = {
            topic.name: wanted_settings(topic, replication_factor=replication_factor) | {"partitions": "1"}
            for topic in topics
        }
        existing = await self.topic_ids(wanted)
        created = tuple(sorted(wanted.keys() - existing.keys()))
        if created:
            await self._create({name: wanted[name] for name in created}, replication_factor)
            await self._until_known(created)
        found = await self._settings(sorted(existing))
        differences = tuple(
            SettingDifference(topic=name, setting=setting, wanted=value, found=found[name][setting])
            for name in sorted(existing)
            for setting, value in wanted[name].items()
            if found[name][setting] != value
        )
        return TopicReport(created=created, differences=differences)

    async def retention_ms(self, topics: Iterable[str]) -> dict[str, int]:
        """How long each existing topic keeps its records; -1 is for ever."""
        existing = await self.topic_ids(topics)
        return {name: int(found["retention.ms"]) for name, found in (await self._settings(sorted(existing))).items()}

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """The ids of those topics that exist.

        Raises:
            BusUnavailable: the broker did not answer.

        """
        names = list(topics)
        if not names:
            return {}
        futures = self._asking.client().describe_topics(TopicCollection(names), request_timeout=self._timeout_s)
        ids = {}
        for name, future in futures.items():
            try:
                ids[name] = str((await asyncio.wrap_future(future)).topic_id)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._failed(error) from None
        return ids

    async def end_offsets(self, topics: Iterable[str]) -> dict[str, int]:
        """The offset that the next record of each topic will get."""
        return await self._list_offsets(topics, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    async def first_offsets(self, topics: Iterable[str]) -> dict[str, int]:
        """The offset of the oldest record that each topic still holds."""
        return await self._list_offsets(topics, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    async def _list_offsets(self, topics: Iterable[str], which: OffsetSpec) -> dict[str, int]:
        request = {TopicPartition(name, 0): which for name in topics}
        if not request:
            return {}
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        while True:
            futures = self._asking.client().list_offsets(request, request_timeout=self._timeout_s)
            try:
                return {place.topic: (await asyncio.wrap_future(future)).offset for place, future in futures.items()}
            except KafkaException as error:
                if error.args[0].code() not in NO_LEADER_YET or asyncio.get_running_loop().time() > deadline:
                    raise self._failed(error) from None
            await asyncio.sleep(_NO_LEADER_PAUSE_S)

    async def _create(self, topics: Mapping[str, dict[str, str]], replication_factor: int) -> None:
        new = [
            NewTopic(
                name,
                num_partitions=int(settings["partitions"]),
                replication_factor=replication_factor,
                config={key: value for key, value in settings.items() if key != "partitions"},
            )
            for name, settings in topics.items()
        ]
        for future in self._asking.client().create_topics(new, request_timeout=self._timeout_s).values():
            try:
                await asyncio.wrap_future(future)
            except KafkaException as error:
                # Somebody else created it in between: as good as ours.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._failed(error) from None

    async def _until_known(self, names: Iterable[str]) -> None:
        """Wait until the broker knows a topic: it reports it as created a moment before it can answer about it."""
        missing = set(names)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        while missing := missing - (await self.topic_ids(missing)).keys():
            if asyncio.get_running_loop().time() > deadline:
                return  # whoever reads the topic reports that it is missing
            await asyncio.sleep(_NO_LEADER_PAUSE_S)

    async def _settings(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        configs = await self._all(self._asking.client().describe_configs(resources, request_timeout=self._timeout_s))
        topics = await self._all(
            self._asking.client().describe_topics(TopicCollection(names), request_timeout=self._timeout_s)
        )
        return {
            resource.name: {key: entry.value for key, entry in config.items()}
            | {"partitions": str(len(topics[resource.name].partitions))}
            for resource, config in configs.items()
        }

    async def _all(self, futures: Mapping[K, Future[V]]) -> dict[K, V]:
        try:
            return {key: await asyncio.wrap_future(future) for key, future in futures.items()}
        except KafkaException as error:
            raise self._failed(error) from None

    def _failed(self, error: KafkaException) -> BusError:
        self._asking.failed()
        return bus_error(error)
