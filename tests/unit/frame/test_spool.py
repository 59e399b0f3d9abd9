"""The file that keeps records of brakes while Kafka is away."""

from __future__ import annotations

from pathlib import Path

from support.control_bench import Bench, Broker, control
from unrip.frame.spool import SPOOL_MAX, Spool


async def kept_records(tmp_path: Path, count: int) -> tuple[Spool, Path]:
    bench = Bench(tmp_path, Broker(up=False))
    for _ in range(count):
        await bench.desk.act(control("halt"))
    return bench.spool, tmp_path / "spool" / "test.jsonl"


async def test_a_line_that_a_crash_cut_off_loses_nothing_else(tmp_path: Path) -> None:
    spool, file = await kept_records(tmp_path, 2)
    first, second = spool.kept()
    file.write_bytes(file.read_bytes() + b'{"event_id":"torn","observed_')
    assert spool.kept() == [first, second]
    assert spool.keep(first)
    assert spool.kept() == [first, second, first], "what comes after the torn line is whole"
    spool.drop_first()
    assert spool.kept() == [second, first]


async def test_a_spool_has_a_bound_and_keeps_the_oldest(tmp_path: Path) -> None:
    spool, file = await kept_records(tmp_path, 1)
    (record,) = spool.kept()
    line = file.read_bytes().strip() + b"\n"
    file.write_bytes(line * SPOOL_MAX)
    assert not spool.keep(record)
    assert len(spool.kept()) == SPOOL_MAX


def test_an_empty_spool_has_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "none.jsonl")
    assert spool.kept() == []
    spool.drop_first()
    assert not (tmp_path / "none.jsonl").exists()
