"""An operator declares that an empty ledger, and books that were never begun, are new and not lost."""

from __future__ import annotations

from unrip.store.connection import connect
from unrip.store.driver_errors import named_errors


async def declare_first_start(url: str, account: str) -> bool:
    """Record this database as the one that holds the account's ledger; False when it has one already.

    Raises:
        StoreUnavailable: nobody answers; it may or may not have happened.
        StoreRefused: the schema is missing or of another version.

    """
    connection = await connect(url, application="first start")
    with named_errors("declaring the first start"):
        try:
            async with connection.transaction():
                declared: bool = await connection.fetchval("SELECT ledger.declare_first_start($1)", account)
                if declared:
                    await connection.execute("SELECT books.declare_first_start($1)", account)
        finally:
            await connection.close()
        return declared
