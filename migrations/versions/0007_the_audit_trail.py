"""The audit trail: who changed what."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    op.create_table(
        "audit",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column(
            "account_id", sa.String(length=40), nullable=True, comment="whose object; NULL: nobody's, or everybody's"
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "who_id",
            sa.String(length=40),
            nullable=False,
            comment="a user, a key, the command line, or hookline itself",
        ),
        sa.Column("who", sa.String(length=320), nullable=False, comment="what they were called then"),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="what the object was called then"),
        sa.Column("before", sa.Text(), nullable=True, comment="the members that are different, without secrets"),
        sa.Column("after", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="who changed what",
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_account_id_id"), ["account_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_object_id"), ["object_id"], unique=False)


def downgrade() -> None:
    """Step down."""
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_object_id"))
        batch_op.drop_index(batch_op.f("ix_audit_account_id_id"))

    op.drop_table("audit")
