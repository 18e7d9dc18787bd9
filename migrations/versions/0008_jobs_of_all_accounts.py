"""Jobs are found by operators, too, who ask for those of all accounts."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = ("deliveries", "events")


def upgrade() -> None:
    """Step up."""
    _exchange(["account_id", "job_id"], ["job_id", "account_id"])


def downgrade() -> None:
    """Step down."""
    _exchange(["job_id", "account_id"], ["account_id", "job_id"])


def _exchange(before: list[str], after: list[str]) -> None:
    for table in _TABLES:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.create_index(f"ix_{table}_{'_'.join(after)}", after, unique=False)
            batch_op.drop_index(f"ix_{table}_{'_'.join(before)}")
