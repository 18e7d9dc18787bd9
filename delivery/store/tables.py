"""The whole schema on one page.

Moments are ``timestamptz`` on PostgreSQL and fixed-width text in UTC on SQLite; JSON is text that the databases do not
look into, because their own types refuse strings that customers may send. Ids are made by us and ordered in time, so
"newest first" and "between two dates" are the primary key's own order.
"""

from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from delivery.domain.tally import COUNTS


class Moment(TypeDecorator[datetime]):
    """An aware ``datetime`` in UTC, on a database that has no such thing too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite's text form has no zone: hand it over in UTC."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Everything stored is UTC."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.replace(tzinfo=UTC)


class Json(TypeDecorator[Any]):
    """A JSON value as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """None is SQL's NULL."""
        return None if value is None else orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002 - the library's signature
        """NULL is None."""
        return None if value is None else orjson.loads(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("plan", String(16), nullable=False),
    Column("monthly_events", Integer, comment="events a key may publish in a billing period; NULL: not metered"),
    Column("created_at", Moment, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("email", String(320), nullable=False, unique=True, comment="lower case"),
    Column("password_hash", String(255), nullable=False, comment="argon2id"),
    Column("operator", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    comment="who is logged in; a session that has ended has no row",
)

login_tries = Table(
    "login_tries",
    metadata,
    Column("subject", String(64), primary_key=True, comment="SHA-256 of an e-mail address, or of a client's address"),
    Column("tries", Integer, nullable=False, comment="wrong passwords since then"),
    Column("since", Moment, nullable=False, index=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String(120), nullable=False),
    Column("digest", String(64), nullable=False, unique=True, comment="SHA-256 of the key, which itself is not kept"),
    Column("last4", String(4), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
)

usage = Table(
    "usage",
    metadata,
    Column("key_id", String(40), primary_key=True),
    Column("period", String(7), primary_key=True, comment="calendar month in UTC: 2026-01"),
    Column("events", Integer, nullable=False),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("description", Text, nullable=False),
    Column("events", Json, nullable=False, comment="types, families and *"),
    Column("headers", Json, nullable=False),
    Column("filter", Json),
    Column("rate_limit", Integer, comment="requests per second"),
    Column("retry_schedule", Json, comment="seconds before each retry; NULL: the service's schedule"),
    Column("secrets", Json, nullable=False, comment="sealed, newest first"),
    Column("active", Boolean, nullable=False),
    Column("disabled_reason", Text),
    Column("failing_since", Moment, comment="first failure after the last success"),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row, as far as it matters"),
    Column("tempo", String(5), nullable=False, server_default="new", comment="slow, new, quick: learnt last"),
    Column("version", Integer, nullable=False, comment="grows with every change that matters to a delivery"),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Index(None, "account_id", "id"),
)

gates = Table(
    "gates",
    metadata,
    Column("endpoint_id", ForeignKey("endpoints.id"), primary_key=True),
    Column("free_at", Moment, comment="when the rate limit has its next slot"),
    Column("probe", String(48), comment="the delivery whose request tries an endpoint with an open circuit"),
    Column("probe_until", Moment, comment="when that request must be over"),
)

events = Table(
    "events",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), nullable=False),
    Column("type", String(64), nullable=False),
    Column("timestamp", Moment, nullable=False, comment="the event's own time"),
    Column("accepted_at", Moment, nullable=False),
    Column("identity", String(600), nullable=False),
    Column("external_id", String(255)),
    Column("job_id", String(128), nullable=False),
    Column("body", LargeBinary, nullable=False, comment="what is signed and sent, byte for byte"),
    Column("traceparent", String(55)),
    Column("passed_over", Json, nullable=False, comment="endpoints that did not get it: [[id, reason], …]"),
    Index(None, "account_id", "identity", unique=True),
    Index(None, "account_id", "id"),
    Index(None, "job_id", "account_id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), nullable=False),
    Column("event_id", String(40), nullable=False, index=True),
    Column("event_type", String(64), nullable=False),
    Column("endpoint_id", String(40), nullable=False),
    Column("job_id", String(128), nullable=False),
    Column("standing", String(10), nullable=False, comment="pending, delivered, failed, cancelled"),
    Column("attempts_made", Integer, nullable=False),
    Column("retries_used", Integer, nullable=False, comment="attempts of the schedule that were made"),
    Column("next_attempt_at", Moment, comment="when the schedule wants the next attempt"),
    Column("asked", String(8), comment="an attempt that somebody asked for: manual or replay"),
    Column("wake_at", Moment, comment="when to look at the row again: due, or its lease runs out; NULL: nothing to do"),
    Column("lease", String(48), comment="fencing token of the process that is sending it"),
    Column("last_response_status", Integer),
    Column("last_error", Text),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Index(None, "account_id", "id"),
    Index(None, "endpoint_id", "id"),
    Index(None, "job_id", "account_id"),
    postgresql_with={"fillfactor": 80},
)
Index(
    "ix_deliveries_due",
    deliveries.c.wake_at,
    deliveries.c.id,
    postgresql_where=deliveries.c.wake_at.is_not(None),
    sqlite_where=deliveries.c.wake_at.is_not(None),
)
Index(
    "ix_deliveries_due_of_each",
    deliveries.c.account_id,
    deliveries.c.event_type,
    deliveries.c.wake_at,
    postgresql_where=deliveries.c.wake_at.is_not(None),
    sqlite_where=deliveries.c.wake_at.is_not(None),
)
Index(
    "ix_deliveries_failed",
    deliveries.c.account_id,
    deliveries.c.id,
    postgresql_where=deliveries.c.standing == "failed",
    sqlite_where=deliveries.c.standing == "failed",
)
Index(
    "ix_deliveries_cancelled",
    deliveries.c.finished_at,
    postgresql_where=deliveries.c.standing == "cancelled",
    sqlite_where=deliveries.c.standing == "cancelled",
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("delivery_id", String(40), nullable=False, index=True),
    Column("account_id", String(40), nullable=False),
    Column("number", Integer, nullable=False),
    Column("trigger", String(8), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("url", String(2048), nullable=False),
    Column("request_headers", Json, nullable=False),
    Column("response_status", Integer),
    Column("response_headers", Json),
    Column("response_body", LargeBinary, comment="the first 16 KiB, as they came"),
    Column("truncated", Boolean, nullable=False),
    Column("error_class", String(20)),
    Column("error_message", Text),
    Column("total_ms", Float, nullable=False),
    Column("dns_ms", Float),
    Column("connect_ms", Float),
    Column("tls_ms", Float),
    Column("first_byte_ms", Float),
    Column("remote_address", String(64)),
)

replays = Table(
    "replays",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), comment="whose deliveries; NULL: everybody's"),
    Column("filter", Json, nullable=False, comment="as it was asked for"),
    Column("by_error", Json, nullable=False, comment="how many matched at the start: [[last error, count], …]"),
    Column("state", String(8), nullable=False, comment="running, finished, stopped"),
    Column("created_by", String(40), nullable=False, comment="the key or the user"),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment, comment="when the last of what was asked for had been sent"),
    Index(None, "account_id", "id"),
)

replay_parts = Table(
    "replay_parts",
    metadata,
    Column("replay_id", ForeignKey("replays.id"), primary_key=True),
    Column("endpoint_id", String(40), primary_key=True),
    Column("last", String(40), nullable=False, comment="the newest delivery that matched at the start"),
    Column("cursor", String(40), nullable=False, comment="the last delivery that was looked at"),
    Column("walked", Boolean, nullable=False, comment="everything was looked at"),
    Column("ended", Boolean, nullable=False, comment="and everything that was asked for has been sent"),
    Column("matched", Integer, nullable=False, comment="at the start"),
    Column("asked", Integer, nullable=False),
    Column("delivered", Integer, nullable=False, comment="of those asked for"),
    Column("failed", Integer, nullable=False, comment="of those asked for"),
    Column("withdrawn", Integer, nullable=False, comment="of those asked for: ended before they were sent"),
    Column("in_progress", Integer, nullable=False, comment="passed over: an attempt was under way or due anyway"),
    Column("disabled", Integer, nullable=False, comment="passed over: the endpoint was disabled or deleted"),
    Column("changed", Integer, nullable=False, comment="no longer matched when their turn came"),
)

replay_asks = Table(
    "replay_asks",
    metadata,
    Column("replay_id", String(40), primary_key=True),
    Column("endpoint_id", String(40), primary_key=True),
    Column("delivery_id", String(40), primary_key=True),
    Column("attempts_before", Integer, nullable=False),
    comment="deliveries that a replay asked for and that it has not seen sent yet",
)

tallies = Table(
    "tallies",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("counted", Json, nullable=False, comment="[[minute, account, endpoint, type of event, {count: number}], …]"),
    comment="what transactions counted and the rollups do not have yet",
)

rollups = Table(
    "rollups",
    metadata,
    Column("account_id", String(40), primary_key=True),
    Column("grain", String(6), primary_key=True, comment="minute, hour, day"),
    Column("at", Moment, primary_key=True, comment="when the bucket begins"),
    Column("endpoint_id", String(40), primary_key=True, comment="empty: of no endpoint"),
    Column("event_type", String(64), primary_key=True),
    *(Column(name, BigInteger if name == "total_ms" else Integer, nullable=False) for name in COUNTS),
    Index(None, "grain", "at"),
    postgresql_with={"fillfactor": 80},
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("received_at", Moment, nullable=False),
    Column("queue", String(128), nullable=False),
    Column("routing_key", String(255), nullable=False),
    Column("reason", String(64), nullable=False, comment="the error's code"),
    Column("detail", Text, nullable=False),
    Column("content_type", String(128)),
    Column("headers", Json, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

sources = Table(
    "sources",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("system", String(32), nullable=False),
    Column("name", String(120), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("settings", Json, nullable=False),
    Column("credentials", Text, nullable=False, comment="a JSON object, sealed"),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("state", String(16), nullable=False, comment="how the last poll went"),
    Column("trouble", Text, comment="why it did not go well"),
    Column("failures", Integer, nullable=False, comment="in a row"),
    Column("polled_at", Moment, comment="when the last poll ended, well or not"),
    Column("due_at", Moment, comment="when to poll next; NULL: not before something changes"),
    Column("last_event_at", Moment),
    Column("events", BigInteger, nullable=False, comment="published by it"),
    Column("refused", Json, nullable=False, comment="what could not be published: {error code: count}"),
    Column("lease", String(48), comment="fencing token of the poll under way"),
    Column("leased_until", Moment),
    Column("deleted_at", Moment),
    Index(None, "account_id", "id"),
    Index(None, "due_at"),
    comment="annotation tools whose facts become events",
)

source_marks = Table(
    "source_marks",
    metadata,
    Column("source_id", ForeignKey("sources.id"), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("value", Json, nullable=False),
    comment="what a source's connector must know the next time",
)

source_wakes = Table(
    "source_wakes",
    metadata,
    Column("source_id", ForeignKey("sources.id"), primary_key=True),
    Column("subject", String(255), primary_key=True, comment="what it is about; empty: everything"),
    Column("detail", Json, nullable=False),
    Column("at", Moment, nullable=False, comment="when it was heard last"),
    comment="what sources said of themselves and nobody has looked into yet",
)

audit = Table(
    "audit",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account_id", String(40), comment="whose object; NULL: nobody's, or everybody's"),
    Column("at", Moment, nullable=False),
    Column("who_id", String(40), nullable=False, comment="a user, a key, the command line, or hookline itself"),
    Column("who", String(320), nullable=False, comment="what they were called then"),
    Column("what", String(32), nullable=False),
    Column("object_id", String(40), nullable=False, index=True),
    Column("name", Text, nullable=False, comment="what the object was called then"),
    Column("before", Json, comment="the members that are different, without secrets"),
    Column("after", Json),
    Index(None, "account_id", "id"),
    comment="who changed what",
)
