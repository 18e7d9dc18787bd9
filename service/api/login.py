"""Logging in."""

from pydantic import Field

from delivery.domain.model import Plan
from service.api.calls import Call
from service.api.shapes import Body, Shape


class Credentials(Body):
    """Who wants in."""

    email: str = Field(min_length=1, max_length=320, examples=["you@example.com"])
    password: str = Field(min_length=1, max_length=1024, examples=["your-password"])


class LoggedInUser(Shape):
    """Who is in."""

    id: str
    email: str
    plan: Plan


class Session(Shape):
    """A token for ``Authorization: Bearer``, good for 30 days."""

    token: str
    user: LoggedInUser


async def log_in(call: Call[Credentials]) -> Session:
    """Trade an address and a password for a token."""
    made = await call.runtime.auth.logins.log_in(call.asked.email, call.asked.password, call.address)
    return Session(token=made.token, user=LoggedInUser(id=made.user.id, email=made.user.email, plan=made.account.plan))
