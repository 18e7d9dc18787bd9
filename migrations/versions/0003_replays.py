"""Replays: what a filter finds, sent once more."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    op.create_table(
        "replay_asks",
        sa.Column("replay_id", sa.String(length=40), nullable=False),
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column("delivery_id", sa.String(length=40), nullable=False),
        sa.Column("attempts_before", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("replay_id", "endpoint_id", "delivery_id", name=op.f("pk_replay_asks")),
        comment="deliveries that a replay asked for and that it has not seen sent yet",
    )
    op.create_table(
        "replays",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=True, comment="whose deliveries; NULL: everybody's"),
        sa.Column("filter", sa.Text(), nullable=False, comment="as it was asked for"),
        sa.Column(
            "by_error", sa.Text(), nullable=False, comment="how many matched at the start: [[last error, count], …]"
        ),
        sa.Column("state", sa.String(length=8), nullable=False, comment="running, finished, stopped"),
        sa.Column("created_by", sa.String(length=40), nullable=False, comment="the key or the user"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the last of what was asked for had been sent",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
    )
    with op.batch_alter_table("replays", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_replays_account_id_id"), ["account_id", "id"], unique=False)

    op.create_table(
        "replay_parts",
        sa.Column("replay_id", sa.String(length=40), nullable=False),
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column(
            "last", sa.String(length=40), nullable=False, comment="the newest delivery that matched at the start"
        ),
        sa.Column("cursor", sa.String(length=40), nullable=False, comment="the last delivery that was looked at"),
        sa.Column("walked", sa.Boolean(), nullable=False, comment="everything was looked at"),
        sa.Column("ended", sa.Boolean(), nullable=False, comment="and everything that was asked for has been sent"),
        sa.Column("matched", sa.Integer(), nullable=False, comment="at the start"),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False, comment="of those asked for"),
        sa.Column("failed", sa.Integer(), nullable=False, comment="of those asked for"),
        sa.Column("withdrawn", sa.Integer(), nullable=False, comment="of those asked for: ended before they were sent"),
        sa.Column(
            "in_progress", sa.Integer(), nullable=False, comment="passed over: an attempt was under way or due anyway"
        ),
        sa.Column(
            "disabled", sa.Integer(), nullable=False, comment="passed over: the endpoint was disabled or deleted"
        ),
        sa.Column("changed", sa.Integer(), nullable=False, comment="no longer matched when their turn came"),
        sa.ForeignKeyConstraint(["replay_id"], ["replays.id"], name=op.f("fk_replay_parts_replay_id")),
        sa.PrimaryKeyConstraint("replay_id", "endpoint_id", name=op.f("pk_replay_parts")),
    )


def downgrade() -> None:
    """Step down."""
    op.drop_table("replay_parts")
    with op.batch_alter_table("replays", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_replays_account_id_id"))

    op.drop_table("replays")
    op.drop_table("replay_asks")
