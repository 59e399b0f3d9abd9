"""An operator declares that an empty ledger, and books that were never begun, are new and not lost."""

from __future__ import annotations

from unrip.store.connection import Database, connect
from unrip.store.driver_errors import named_errors
from unrip.store.sql import of_desk


async def declare_first_start(database: Database, account: str) -> bool:
    """Record this database as the one that holds the account's ledger; False when it has one already.

    Raises:
        StoreUnavailable: nobody answers; it may or may not have happened.
        StoreRefused: the schema is missing or of another version.

    """
    connection = await connect(database, application="first start")
    with named_errors("declaring the first start"):
        try:
            async with connection.transaction():
                declared: bool = await connection.fetchval(
                    of_desk("SELECT ledger.declare_first_start($1)", database.desk), account
                )
                if declared:
                    await connection.execute(of_desk("SELECT books.declare_first_start($1)", database.desk), account)
        finally:
            await connection.close()
        return declared
