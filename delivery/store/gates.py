"""Statements about the gates of endpoints: the next slot of a rate limit, and the probe of an open circuit."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row, bindparam, delete, null, select, update
from sqlalchemy.dialects import postgresql, sqlite

from delivery.domain.gate import Gate
from delivery.domain.model import DeliveryId, EndpointId
from delivery.store.engine import Transaction, listed
from delivery.store.tables import endpoints, gates


async def lock(tx: Transaction, ids: Collection[EndpointId]) -> Mapping[EndpointId, Gate]:
    """The gates of these endpoints, kept from all other processes until the transaction ends."""
    ordered = sorted(ids)  # in one order for everybody, or two processes could lock each other out
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    missing = dialect.insert(gates).on_conflict_do_nothing(index_elements=["endpoint_id"])
    await tx.execute(missing, [{"endpoint_id": endpoint_id} for endpoint_id in ordered])
    query = select(gates).where(gates.c.endpoint_id.in_(listed(tx, ordered)))
    rows = await tx.execute(query.order_by(gates.c.endpoint_id).with_for_update())
    return {EndpointId(row.endpoint_id): _gate(row) for row in rows}


_SAVE = (
    update(gates)
    .where(gates.c.endpoint_id == bindparam("gated"))
    .values(
        free_at=bindparam("new_free_at", type_=gates.c.free_at.type),
        probe=bindparam("new_probe", type_=gates.c.probe.type),
        probe_until=bindparam("new_probe_until", type_=gates.c.probe_until.type),
    )
)


async def save(tx: Transaction, changed: Mapping[EndpointId, Gate]) -> None:
    """Write gates that this transaction has locked."""
    rows = [
        {
            "gated": endpoint_id,
            "new_free_at": gate.free_at,
            "new_probe": gate.probe,
            "new_probe_until": gate.probe_until,
        }
        for endpoint_id, gate in changed.items()
    ]
    await tx.execute(_SAVE, rows)


async def end_probes(tx: Transaction, probes: Collection[tuple[EndpointId, DeliveryId]]) -> None:
    """Say that these deliveries have been tried: the next one of their endpoint may be."""
    out = (gates.c.endpoint_id == bindparam("gated"), gates.c.probe == bindparam("tried"))
    rows = [{"gated": endpoint_id, "tried": delivery_id} for endpoint_id, delivery_id in sorted(probes)]
    await tx.execute(update(gates).where(*out).values(probe=null(), probe_until=null()), rows)


async def prune(tx: Transaction) -> None:
    """Forget the gates of deleted endpoints."""
    deleted = select(endpoints.c.id).where(endpoints.c.deleted_at.is_not(None))
    await tx.execute(delete(gates).where(gates.c.endpoint_id.in_(deleted)))


def _gate(row: Row[Any]) -> Gate:
    return Gate(row.free_at, row.probe, row.probe_until)
