"""Gates of endpoints: rate limits that hold over all processes, and circuits. What is due is found for each account."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    with op.batch_alter_table("endpoints") as batch_op:
        batch_op.add_column(
            sa.Column(
                "failures", sa.Integer(), server_default="0", nullable=False, comment="in a row, as far as it matters"
            )
        )
    op.create_table(
        "gates",
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column(
            "free_at", sa.DateTime(timezone=True), nullable=True, comment="when the rate limit has its next slot"
        ),
        sa.Column(
            "probe",
            sa.String(length=48),
            nullable=True,
            comment="the delivery whose request tries an endpoint with an open circuit",
        ),
        sa.Column("probe_until", sa.DateTime(timezone=True), nullable=True, comment="when that request must be over"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=op.f("fk_gates_endpoint_id")),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_gates")),
    )
    _index_what_is_due("wake_at", "id")
    op.create_index(
        "ix_deliveries_due_of_each",
        "deliveries",
        ["account_id", "event_type", "wake_at"],
        postgresql_where=sa.text("wake_at IS NOT NULL"),
        sqlite_where=sa.text("wake_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Step down."""
    op.drop_index("ix_deliveries_due_of_each", "deliveries")
    _index_what_is_due("wake_at", "endpoint_id")
    op.drop_table("gates")
    with op.batch_alter_table("endpoints") as batch_op:
        batch_op.drop_column("failures")


def _index_what_is_due(*columns: str) -> None:
    """Among what is due at the same moment, chance decides and not the endpoint's name."""
    op.drop_index("ix_deliveries_due", "deliveries")
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        list(columns),
        postgresql_where=sa.text("wake_at IS NOT NULL"),
        sqlite_where=sa.text("wake_at IS NOT NULL"),
    )
