"""SQL lives in files, each statement under a name: `-- name --` and the statement below it.

What stands there, and in the migrations, is the main desk's: it names schemas that another desk's name stands before.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from unrip.domain.desk_name import MAIN_DESK, prefix_of

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)
#: A schema of a desk, where it is made, asked for, or stands before a name.
_SCHEMA = re.compile(
    r"(?<=CREATE SCHEMA )\w+\b"
    r"|(?<=schemaname = ')\w+(?=')"
    r"|(?<![.\w])(?:desk|ledger|history|books)(?=\.)"
)
#: What is locked for as long as a transaction lasts; every desk of a database locks something of its own.
_LOCKED = re.compile(r"(?<=hashtextextended\('unrip )")
#: In a migration, the name of the desk whose schemas it makes.
_DESK_NAME = "{desk}"


@cache
def statements(file: str, desk: str = MAIN_DESK) -> dict[str, str]:
    """All statements of `sql/FILE.sql` by name, as a desk asks them."""
    text = files("unrip.store").joinpath("sql", f"{file}.sql").read_text()
    parts = _NAME.split(text)
    return {name: of_desk(body.strip(), desk) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@cache
def of_desk(sql: str, desk: str) -> str:
    """SQL of the main desk as that of another one."""
    sql = sql.replace(_DESK_NAME, desk)
    if desk == MAIN_DESK:
        return sql
    sql = _SCHEMA.sub(lambda schema: prefix_of(desk, "_") + schema[0], sql)
    return _LOCKED.sub(f"{desk} ", sql)
