"""Following the log: what was cancelled, by when."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_deliveries_cancelled",
            ["finished_at"],
            unique=False,
            postgresql_where=sa.text("standing = 'cancelled'"),
            sqlite_where=sa.text("standing = 'cancelled'"),
        )


def downgrade() -> None:
    """Step down."""
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_deliveries_cancelled",
            postgresql_where=sa.text("standing = 'cancelled'"),
            sqlite_where=sa.text("standing = 'cancelled'"),
        )
