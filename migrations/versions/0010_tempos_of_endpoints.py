"""What was learnt of an endpoint's tempo outlasts the process that learnt it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    tempo = sa.Column(
        "tempo", sa.String(5), nullable=False, server_default="new", comment="slow, new, quick: learnt last"
    )
    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.add_column(tempo)


def downgrade() -> None:
    """Step down."""
    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.drop_column("tempo")
