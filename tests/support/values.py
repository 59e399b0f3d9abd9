"""Values of any of our types, drawn by hypothesis from what the type says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from unrip.domain.values import Amount, Delta

_PLAIN: dict[type[inspect.Type], st.SearchStrategy[Any]] = {
    inspect.StrType: st.text(max_size=20),
    inspect.IntType: st.integers(min_value=-(2**63), max_value=2**63 - 1),
    inspect.BoolType: st.booleans(),
    inspect.NoneType: st.none(),
    inspect.DecimalType: st.decimals(allow_nan=False, allow_infinity=False, places=9).filter(
        lambda number: abs(number) < 10**30
    ),
    inspect.DateTimeType: st.datetimes(
        min_value=datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(9899, 12, 31),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
}
_OURS: dict[type, st.SearchStrategy[Any]] = {
    Amount: st.integers(min_value=0, max_value=2**127).map(Amount),
    Delta: st.integers(min_value=-(2**127), max_value=2**127).map(Delta),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    found = _PLAIN.get(type(info))
    return found if found is not None else _composite(info)


def _composite(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType():
            return st.builds(info.cls, **{field.name: _of(field.type) for field in info.fields})
        case inspect.UnionType():
            return st.one_of(*[_of(each) for each in info.types])
        case inspect.EnumType():
            return st.sampled_from(list(info.cls))
        case inspect.VarTupleType():
            return st.lists(_of(info.item_type), max_size=3).map(tuple)
        case inspect.DictType():
            return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=3)
        case inspect.CustomType():
            return _OURS[info.cls]
    raise AssertionError(f"no values known of {info}")
