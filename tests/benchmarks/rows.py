"""Rows by the hundred thousand, written straight into the tables of PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine


def numbered_id(prefix: str, moment: str) -> str:
    """An id as SQL: its prefix, the millisecond of ``moment``, and the number ``n`` in the place of chance."""
    milliseconds = f"(extract(epoch from {moment}) * 1000)::bigint"
    return f"'{prefix}_' || lpad(to_hex({milliseconds}), 12, '0') || lpad(to_hex(n), 16, '0')"


async def write(database: str, statements: Sequence[str], **values: Any) -> None:
    """Run statements in one transaction, with more patience than the service has; each takes the values it names."""
    engine = create_async_engine(database)
    async with engine.begin() as connection:
        for statement in statements:
            named = {name: value for name, value in values.items() if f":{name}" in statement}
            await connection.execute(text(statement), named)
    await engine.dispose()
