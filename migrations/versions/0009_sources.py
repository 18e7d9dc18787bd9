"""Sources: annotation tools whose facts become events."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    op.create_table(
        "sources",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("system", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("credentials", sa.Text(), nullable=False, comment="a JSON object, sealed"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="how the last poll went"),
        sa.Column("trouble", sa.Text(), nullable=True, comment="why it did not go well"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="in a row"),
        sa.Column(
            "polled_at", sa.DateTime(timezone=True), nullable=True, comment="when the last poll ended, well or not"
        ),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when to poll next; NULL: not before something changes",
        ),
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="published by it"),
        sa.Column("refused", sa.Text(), nullable=False, comment="what could not be published: {error code: count}"),
        sa.Column("lease", sa.String(length=48), nullable=True, comment="fencing token of the poll under way"),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_sources_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        comment="annotation tools whose facts become events",
    )
    with op.batch_alter_table("sources", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sources_account_id_id"), ["account_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_sources_due_at"), ["due_at"], unique=False)

    op.create_table(
        "source_marks",
        sa.Column("source_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_marks_source_id")),
        sa.PrimaryKeyConstraint("source_id", "kind", "key", name=op.f("pk_source_marks")),
        comment="what a source's connector must know the next time",
    )
    op.create_table(
        "source_wakes",
        sa.Column("source_id", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False, comment="what it is about; empty: everything"),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when it was heard last"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_wakes_source_id")),
        sa.PrimaryKeyConstraint("source_id", "subject", name=op.f("pk_source_wakes")),
        comment="what sources said of themselves and nobody has looked into yet",
    )


def downgrade() -> None:
    """Step down."""
    op.drop_table("source_wakes")
    op.drop_table("source_marks")
    with op.batch_alter_table("sources", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sources_due_at"))
        batch_op.drop_index(batch_op.f("ix_sources_account_id_id"))

    op.drop_table("sources")
