"""Statistics: counts as transactions note them, and the rollups that they are folded into."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COUNTS = (
    "accepted",
    "attempts",
    "delivered",
    "failed",
    "total_ms",
    "error_blocked_address",
    "error_dns_error",
    "error_connect_refused",
    "error_connect_error",
    "error_connection_closed",
    "error_tls_error",
    "error_timeout",
    "error_protocol_error",
    "error_http_3xx",
    "error_http_4xx",
    "error_http_5xx",
    "error_internal_error",
    *(f"took_{number:02}" for number in range(33)),
)


def upgrade() -> None:
    """Step up."""
    op.create_table(
        "tallies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "counted",
            sa.Text(),
            nullable=False,
            comment="[[minute, account, endpoint, type of event, {count: number}], …]",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tallies")),
        comment="what transactions counted and the rollups do not have yet",
    )
    op.create_table(
        "rollups",
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("grain", sa.String(length=6), nullable=False, comment="minute, hour, day"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when the bucket begins"),
        sa.Column("endpoint_id", sa.String(length=40), nullable=False, comment="empty: of no endpoint"),
        sa.Column("event_type", sa.String(length=64), nullable=False),
        *(sa.Column(name, sa.BigInteger() if name == "total_ms" else sa.Integer(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("account_id", "grain", "at", "endpoint_id", "event_type", name=op.f("pk_rollups")),
        postgresql_with={"fillfactor": 80},
    )
    with op.batch_alter_table("rollups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rollups_grain_at"), ["grain", "at"], unique=False)


def downgrade() -> None:
    """Step down."""
    with op.batch_alter_table("rollups", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rollups_grain_at"))

    op.drop_table("rollups")
    op.drop_table("tallies")
