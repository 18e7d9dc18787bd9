"""Gates of endpoints: rate limits that hold over all processes, and circuits."""

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


def downgrade() -> None:
    """Step down."""
    op.drop_table("gates")
    with op.batch_alter_table("endpoints") as batch_op:
        batch_op.drop_column("failures")
