"""The settings, read once: environment variables ``HOOKLINE_…``, over a TOML file with the same names in lower case.

This is the only place that reads the environment; everything further down gets plain values.
"""

import difflib
import os
import sys
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from delivery.domain.retry import SCHEDULE
from delivery.domain.sealing import KeyRing
from service.trouble import Trouble

_PREFIX = "HOOKLINE_"
_SECRET = frozenset({"master_keys", "jwt_secret"})

#: What the commands that call the API take from the environment: no settings of the service, so not refused here.
API_KEY_VARIABLE = "HOOKLINE_API_KEY"
URL_VARIABLE = "HOOKLINE_URL"
_OF_COMMANDS = frozenset({API_KEY_VARIABLE, URL_VARIABLE})

Role = Literal["api", "worker", "scheduler"]
ROLES: tuple[Role, ...] = ("api", "worker", "scheduler")


class SettingsError(Trouble):
    """A setting that cannot be used; the message says which one, and what would do."""


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _with_port(url: str) -> str:
    """Refuse what the libraries would refuse later on, quoting all of it."""
    try:
        urlsplit(url).port  # noqa: B018 - reading it is what checks it
    except ValueError:  # its own words quote what stands there: part of a password that was not escaped, perhaps
        raise ValueError(
            "has no number as its port; in a password, / : @ and the like are written %2F %3A %40"
        ) from None
    return url


def _is_this_machine(url: SplitResult) -> bool:
    return url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1")


class Settings(BaseModel):
    """Every setting with its default; with no setting at all, everything works without another server."""

    # what stands in a setting may be a secret, also where it is wrong
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: str = Field("sqlite+aiosqlite:///hookline.db", repr=False)
    bus_url: str = Field("memory://", repr=False)
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_comma_separated)] = ()
    master_keys: str | None = Field(None, repr=False)
    jwt_secret: str | None = Field(None, min_length=32, repr=False)
    jwt_jwks_url: str | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    retry_schedule: Annotated[tuple[int, ...], BeforeValidator(_comma_separated)] = SCHEDULE
    attempt_timeout: float = Field(10.0, gt=0, le=60)
    allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_comma_separated)] = ()
    allowed_ports: str = Field("80,443,1024-65535", pattern=r"^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$")
    require_https: bool = True
    egress_proxy: str | None = Field(None, repr=False)
    brand: str = Field("Tagmatic", pattern=r"^[A-Za-z][A-Za-z0-9]{0,31}$")
    worker_concurrency: int = Field(256, ge=1, le=10_000)
    endpoint_concurrency: int = Field(16, ge=1, le=1_000)
    retention_days: int = Field(30, ge=1)
    disable_after_hours: float = Field(120.0, gt=0)
    grace_period: float = Field(25.0, ge=0)
    log_format: Literal["console", "json"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
            raise ValueError("wants sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME")
        return _with_port(value)

    @field_validator("bus_url")
    @classmethod
    def _known_bus(cls, value: str) -> str:
        if not value.startswith(("memory://", "amqp://", "amqps://")):
            raise ValueError("wants memory:// or amqp://USER:PASSWORD@HOST/VHOST (amqps:// with TLS)")
        return _with_port(value)

    @field_validator("egress_proxy")
    @classmethod
    def _known_proxy(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("wants http://HOST:PORT, with USER:PASSWORD@ before the host where it asks for them")
        return value and _with_port(value)

    @field_validator("master_keys")
    @classmethod
    def _usable_keys(cls, value: str | None) -> str | None:
        if value is not None:
            if not all(":" in entry for entry in value.split(",")):
                raise ValueError("wants name:base64,name:base64, each 32 random bytes")
            KeyRing.parse(value)
        return value

    @field_validator("allowed_networks", "trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return [ip_network(part) for part in _comma_separated(value)]

    @field_validator("retry_schedule")
    @classmethod
    def _positive_waits(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(wait < 1 for wait in value):
            raise ValueError("wants seconds before each retry, each at least 1")
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _safe_origin(cls, value: str | None) -> str | None:
        """Whoever can change the keys on their way here can be anybody."""
        if value is not None:
            url = urlsplit(value)
            if not url.hostname or "@" in url.netloc or (url.scheme != "https" and not _is_this_machine(url)):
                raise ValueError("wants https://HOST/…; plain http only from this machine, and no password")
        return value

    @model_validator(mode="after")
    def _secrets_for_servers(self) -> "Settings":
        if self.jwt_secret is not None and self.jwt_jwks_url is not None:
            raise ValueError("JWT_SECRET and JWT_JWKS_URL are two ways to know people: set one of them")
        if self.jwt_jwks_url is None and (self.jwt_audience or self.jwt_issuer):
            raise ValueError("JWT_AUDIENCE and JWT_ISSUER are about tokens of the platform: they need JWT_JWKS_URL")
        if self.sqlite_file is None and self.master_keys is None:
            raise ValueError("MASTER_KEYS is required with this database: name:base64 of 32 random bytes")
        if self.sqlite_file is None and not self.tokens_known:
            raise ValueError("JWT_SECRET (at least 32 characters) or JWT_JWKS_URL is required with this database")
        return self

    @property
    def tokens_known(self) -> bool:
        """Whether the settings say whose session tokens are accepted."""
        return self.jwt_secret is not None or self.jwt_jwks_url is not None

    @property
    def sqlite_file(self) -> Path | None:
        """The database's file, if it is one."""
        prefix = "sqlite+aiosqlite:///"
        return Path(self.database_url.removeprefix(prefix)) if self.database_url.startswith(prefix) else None

    @property
    def port_ranges(self) -> tuple[range, ...]:
        """The ports that deliveries may reach."""
        pairs = (part.partition("-") for part in self.allowed_ports.split(","))
        return tuple(range(int(first), int(last or first) + 1) for first, _, last in pairs)

    @property
    def lease_s(self) -> float:
        """How long a claim on a delivery lasts: two attempts (a rotation makes two) and time to write them down."""
        return 2 * (self.attempt_timeout + 1) + 10

    @property
    def longest_delivery_s(self) -> float:
        """The longest that sending one delivery can take. Shorter than the lease, or two processes could send it."""
        return 2 * (self.attempt_timeout + 1) + 1

    def lines(self) -> list[str]:
        """The effective settings for people, secrets only as set or unset."""
        shown = {name: getattr(self, name) for name in type(self).model_fields}
        return [f"{name.upper()}={_show(name, value)}" for name, value in shown.items()]


def _show(name: str, value: Any) -> str:
    if name in _SECRET:
        return "(set)" if value else "(unset)"
    if name in ("database_url", "bus_url", "egress_proxy") and value:
        return without_password(value)
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return "" if value is None else str(value)


def without_password(url: str) -> str:
    """An address without the user and the password in it.

    >>> without_password("amqp://hook:line@broker/"), without_password("memory://")
    ('amqp://…@broker/', 'memory://')
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if "@" in rest else url


def read_settings(
    config: Path | None = None, environment: Mapping[str, str] = os.environ, **overrides: Any
) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: an unknown name, with the likely one, or a value that does not fit.
    """
    values = _from_file(config) | _from_environment(environment) | overrides
    for name in values:
        if name not in Settings.model_fields:
            near = difflib.get_close_matches(name, Settings.model_fields, n=1)
            hint = f"; did you mean {_PREFIX}{near[0].upper()}?" if near else ""
            raise SettingsError(f"Unknown setting {_PREFIX}{name.upper()}{hint}")
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def _from_file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"Cannot read {config}: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(_PREFIX) and name not in _OF_COMMANDS and value != ""
    }


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][:1]).upper()
    message = first["msg"].removeprefix("Value error, ")
    return f"{_PREFIX}{name}: {message}" if name else f"{_PREFIX}{message}"


def log_format(settings: Settings) -> Literal["console", "json"]:
    """Console on a terminal, JSON lines everywhere else, unless the settings say so."""
    return settings.log_format or ("console" if sys.stderr.isatty() else "json")
