"""Statements about endpoints."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, bindparam, case, exists, func, insert, select, update

from delivery.domain.gate import OPENS_AFTER
from delivery.domain.model import AccountId, Endpoint, EndpointId, SealedSecret, Tempo
from delivery.store.cursors import Page, PageRequest, page
from delivery.store.engine import Transaction, listed
from delivery.store.reach import Reach
from delivery.store.tables import deliveries, endpoints

_RECENT = 100


@dataclass(frozen=True, slots=True)
class Health:
    """How the last deliveries to an endpoint went. ``success_rate`` is None before the first one ended."""

    success_rate: float | None
    last_delivery_at: datetime | None


async def add(tx: Transaction, endpoint: Endpoint) -> None:
    """Insert an endpoint."""
    await tx.execute(insert(endpoints).values(_row(endpoint)))


async def save(tx: Transaction, endpoint: Endpoint) -> None:
    """Write a changed endpoint that this transaction has locked."""
    await tx.execute(update(endpoints).where(endpoints.c.id == endpoint.id).values(_row(endpoint)))


async def find(tx: Transaction, reach: Reach, endpoint_id: str, *, for_update: bool = False) -> Endpoint | None:
    """One endpoint that was not deleted; ``for_update`` keeps others from changing it until the transaction ends."""
    query = select(endpoints).where(
        reach.covers(endpoints), endpoints.c.id == endpoint_id, endpoints.c.deleted_at.is_(None)
    )
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return _endpoint(row) if row else None


async def browse(tx: Transaction, reach: Reach, request: PageRequest) -> Page[Endpoint]:
    """A page of endpoints, newest first."""
    query = select(endpoints).where(reach.covers(endpoints), endpoints.c.deleted_at.is_(None))
    return await page(tx, query, endpoints.c.id, request, _endpoint)


async def has(tx: Transaction, account_id: AccountId, count: int) -> bool:
    """Whether an account has at least so many endpoints."""
    own = select(endpoints.c.id).where(endpoints.c.account_id == account_id, endpoints.c.deleted_at.is_(None))
    return (await tx.execute(own.offset(count - 1).limit(1))).first() is not None


async def of_accounts(tx: Transaction, accounts: Iterable[AccountId]) -> Mapping[AccountId, Sequence[Endpoint]]:
    """All endpoints of these accounts, disabled ones too, deleted ones not."""
    query = select(endpoints).where(endpoints.c.account_id.in_(listed(tx, accounts)), endpoints.c.deleted_at.is_(None))
    found: dict[AccountId, list[Endpoint]] = defaultdict(list)
    for row in await tx.execute(query.order_by(endpoints.c.id)):
        found[AccountId(row.account_id)].append(_endpoint(row))
    return found


async def by_ids(tx: Transaction, ids: Iterable[EndpointId], *, for_update: bool = False) -> Sequence[Endpoint]:
    """Endpoints as they are now, deleted ones too; ``for_update`` as in ``find``, in one order for everybody."""
    query = select(endpoints).where(endpoints.c.id.in_(listed(tx, ids))).order_by(endpoints.c.id)
    return [_endpoint(row) for row in await tx.execute(query.with_for_update() if for_update else query)]


async def following(tx: Transaction, after: str, *, limit: int) -> Sequence[Endpoint]:
    """The endpoints that come next by their id, deleted ones too."""
    query = select(endpoints).where(endpoints.c.id > after).order_by(endpoints.c.id).limit(limit)
    return [_endpoint(row) for row in await tx.execute(query)]


async def reseal(tx: Transaction, endpoint_id: EndpointId, secrets: Sequence[SealedSecret]) -> None:
    """Write secrets of an endpoint that this transaction has locked. They are the same, so its version is, too."""
    sealed = [asdict(secret) for secret in secrets]
    await tx.execute(update(endpoints).where(endpoints.c.id == endpoint_id).values(secrets=sealed))


async def health(tx: Transaction, endpoint_id: EndpointId) -> Health:
    """Look at the last hundred deliveries to an endpoint."""
    recent = select(deliveries.c.standing, deliveries.c.finished_at).where(deliveries.c.endpoint_id == endpoint_id)
    rows = (await tx.execute(recent.order_by(deliveries.c.id.desc()).limit(_RECENT))).all()
    ended = [row.standing for row in rows if row.standing in ("delivered", "failed")]
    return Health(
        success_rate=ended.count("delivered") / len(ended) if ended else None,
        last_delivery_at=max((row.finished_at for row in rows if row.finished_at), default=None),
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """How an endpoint's requests went lately: ``failures`` in a row since the first of them at ``failing_since``.

    ``recovered`` where there was a success before these; else they come on top of those that are written down.
    ``tempo`` is None where it is as it was.
    """

    recovered: bool
    failures: int
    failing_since: datetime | None
    tempo: Tempo | None = None


async def note(tx: Transaction, turns: Mapping[EndpointId, Turn]) -> None:
    """Write down how requests went, on top of what is known."""
    rows = [
        {
            "noted": endpoint_id,
            "before": int(not turns[endpoint_id].recovered),
            "more": turns[endpoint_id].failures,
            "since": turns[endpoint_id].failing_since,
            "learnt": turns[endpoint_id].tempo,
        }
        for endpoint_id in sorted(turns)  # in one order for everybody, or two processes could lock each other out
    ]
    await tx.execute(_NOTE, rows)


_IN_A_ROW = endpoints.c.failures * bindparam("before", type_=Integer) + bindparam("more", type_=Integer)
_SINCE = bindparam("since", type_=endpoints.c.failing_since.type)
_NOTE = (
    update(endpoints)
    .where(endpoints.c.id == bindparam("noted"))
    .values(
        failures=case((_IN_A_ROW > OPENS_AFTER, OPENS_AFTER), else_=_IN_A_ROW),
        failing_since=case(
            (bindparam("before", type_=Integer) == 0, _SINCE), else_=func.coalesce(endpoints.c.failing_since, _SINCE)
        ),
        tempo=func.coalesce(bindparam("learnt", type_=endpoints.c.tempo.type), endpoints.c.tempo),
        version=endpoints.c.version + 1,
    )
)


async def disable(tx: Transaction, ids: Iterable[EndpointId], *, reason: str, now: datetime) -> Sequence[Endpoint]:
    """Switch endpoints off; return those that were on."""
    on = endpoints.c.id.in_(listed(tx, ids)) & endpoints.c.active
    change = {"active": False, "disabled_reason": reason, "updated_at": now, "version": endpoints.c.version + 1}
    return [_endpoint(row) for row in await tx.execute(update(endpoints).where(on).values(change).returning(endpoints))]


async def failing_since_before(tx: Transaction, moment: datetime) -> Sequence[EndpointId]:
    """Active endpoints that have known nothing but failures since before ``moment``.

    A success that was on its way when the first failure came does not clear ``failing_since``: so the log is asked.
    """
    arrived_since = exists().where(
        deliveries.c.endpoint_id == endpoints.c.id,
        deliveries.c.standing == "delivered",
        deliveries.c.finished_at >= endpoints.c.failing_since,
    )
    query = select(endpoints.c.id).where(
        endpoints.c.failing_since < moment, endpoints.c.active, endpoints.c.deleted_at.is_(None), ~arrived_since
    )
    return [EndpointId(endpoint_id) for endpoint_id in (await tx.execute(query)).scalars()]


def _row(endpoint: Endpoint) -> dict[str, Any]:
    return asdict(endpoint)


def _endpoint(row: Row[Any]) -> Endpoint:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's names
    values["events"] = tuple(values["events"])
    values["secrets"] = tuple(_secret(**secret) for secret in values["secrets"])
    if values["retry_schedule"] is not None:
        values["retry_schedule"] = tuple(values["retry_schedule"])
    return Endpoint(**values)


def _secret(*, sealed: str, last4: str, created_at: str, expires_at: str | None) -> SealedSecret:
    return SealedSecret(
        sealed, last4, datetime.fromisoformat(created_at), datetime.fromisoformat(expires_at) if expires_at else None
    )
