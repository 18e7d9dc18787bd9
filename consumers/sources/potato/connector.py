"""Potato: a server that people annotate texts on, asked through its admin API.

Its history says quickly who touched what, its states say what is. Its own webhooks only say where to look.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from consumers.sources.connector import Desk, Heard, Push, Step
from consumers.sources.potato.events import Scribe
from consumers.sources.potato.hooks import heard
from consumers.sources.potato.remote import Potato
from consumers.sources.potato.round import Pace, Round
from consumers.sources.system import Credentials, Interval, Place, Settings, System


class PotatoSettings(Settings):
    """Where and how often to look. A server is one project, so its URL says which it is."""

    interval_s: Interval = 5
    timezone: str = Field(
        "UTC", max_length=64, description="Time zone of the Potato server's clock, such as Europe/Berlin"
    )
    settle_s: float = Field(
        30, ge=0, le=3600, description="Seconds without a change before an annotation counts as completed"
    )
    sweep_s: float = Field(
        600, ge=10, le=86_400, description="Seconds between two looks at all annotations, whatever the history says"
    )
    decisions_s: float = Field(
        300, ge=10, le=86_400, description="Seconds between two downloads of adjudications, without an adjudicator"
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        zone(name)
        return name


class PotatoCredentials(Credentials):
    """The key of the admin API; the rest is optional."""

    api_key: str = Field(
        min_length=1,
        max_length=512,
        pattern=r"^[\x21-\x7e]+$",
        description="Admin API key: admin_api_key of the project's configuration, or the file admin_api_key.txt",
    )
    adjudicator: str = Field(
        "", max_length=255, description="Login of one of the adjudicators: their decisions are read sooner with it"
    )
    adjudicator_password: str = Field("", max_length=512, description="Password of that adjudicator, if there is one")
    webhook_secret: str = Field(
        "", max_length=512, description="Secret of Potato's webhook to here; empty: any webhook is believed"
    )


def zone(name: str) -> tzinfo:
    """Return a time zone by its name.

    Raises:
        ValueError: there is no such zone.
    """
    if name == "UTC":  # known without any files
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # no such file, a path instead of a name, no such zone
        raise ValueError("unknown time zone; give one such as UTC or Europe/Berlin") from error


class PotatoConnector:
    """One Potato server."""

    def __init__(self, place: Place, settings: PotatoSettings, credentials: PotatoCredentials) -> None:
        self._scribe = Scribe(place.source_id, zone(settings.timezone))
        self._pace = Pace(settings.settle_s, settings.sweep_s, settings.decisions_s, settings.backfill)
        self._secret = credentials.webhook_secret
        self._potato = Potato(
            place.session, place.url, credentials.api_key, credentials.adjudicator, credentials.adjudicator_password
        )

    async def check(self) -> str:
        """Ask what the project is, and log in if an adjudicator is given."""
        found = await self._potato.overview()
        says = (
            f"{found.config.annotation_task_name}: {found.overview.total_items} items, "
            f"{found.overview.total_users} annotators"
        )
        return f"{says}, logged in as adjudicator" if await self._potato.logged_in() else says

    def poll(self, desk: Desk) -> AsyncGenerator[Step, None]:
        """Find out what changed."""
        return Round(self._potato, self._scribe, self._pace, desk).steps()

    def hear(self, push: Push, now: datetime) -> Sequence[Heard]:
        """Take a webhook of Potato's for a hint whose work to look at."""
        return heard(push, self._secret, now)


POTATO = System("potato", "Potato", PotatoSettings, PotatoCredentials, PotatoConnector)
