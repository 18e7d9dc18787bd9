"""What `hookline doctor` looks at: everything that the service needs, without changing any of it."""

import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select

from consumers.rabbit import topology
from consumers.rabbit.link import BrokerFault, connected
from delivery.domain.sealing import KeyRing
from delivery.resealing import Resealing
from delivery.store.engine import Store, is_database_fault, open_store
from service.database import first_line, shown
from service.keyfile import key_file, master_keys
from service.runtime import system_surroundings
from service.schema import version
from service.settings import Settings, SettingsError, read_settings
from service.survey import Problem, away, differing

Level = Literal["ok", "warn", "fail"]

#: Seconds by which the clock may differ from the database's: worth a word; and so much that leases are at risk.
_NOTABLE_S = 1.0
_HARMFUL_S = 5.0

_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``mend`` says how to mend what is wrong with it."""

    level: Level
    subject: str
    says: str
    mend: str = ""

    @property
    def line(self) -> str:
        """All of it for people."""
        return f"{self.says}. {self.mend}" if self.mend else self.says

    def as_json(self) -> dict[str, str]:
        """All of it for programs."""
        return asdict(self)


async def examine(config: Path | None) -> Sequence[Finding]:
    """Look at everything; when the settings cannot be read there is nothing else to look at."""
    try:
        settings = read_settings(config)
    except SettingsError as error:
        return [Finding("fail", "settings", str(error), "Correct it; README lists every setting")]
    findings = [Finding("ok", "settings", "every name and value is understood")]
    findings += _keys(settings)
    findings += [finding async for finding in _database(settings)]
    findings += [finding async for finding in _bus(settings)]
    findings += _egress(settings)
    return findings


def _keys(settings: Settings) -> Iterator[Finding]:
    """The keys that protect secrets and sessions, where they lie in a file of ours."""
    if settings.sqlite_file is None:
        yield Finding("ok", "keys", "MASTER_KEYS and the key of the tokens are set")
        return
    path = key_file(settings.sqlite_file)
    if not path.exists():
        yield Finding("ok", "keys", f"{path} will be made at the first start, unless the settings hold both keys")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OF_OTHERS:
        yield Finding("fail", "keys", f"{path} can be read by others (mode {mode:04o})", f"chmod 600 {path}")
    elif not os.access(path, os.R_OK):
        yield Finding("fail", "keys", f"{path} cannot be read by this user", "Run as its owner")
    else:
        yield Finding("ok", "keys", f"{path} is readable by its owner only")


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    file = settings.sqlite_file
    if file is not None and not file.exists():
        yield _place_for(file)
        return
    store = open_store(settings.database_url, pool_size=1)
    try:
        yield await _reached(store, settings)
        schema = await _schema(store)
        yield schema
        yield await _clock(store)
        if schema.level == "ok":
            yield await _secrets(store, settings)
    except Exception as error:
        # the database's own faults are what was looked for; anything else is a fault of ours
        if not is_database_fault(error):
            raise
        mend = "Check DATABASE_URL, and that the database runs and lets this machine in"
        yield Finding("fail", "database", f"{shown(settings.database_url)}: {first_line(error)}", mend)
    finally:
        await store.close()


def _place_for(file: Path) -> Finding:
    folder = file.absolute().parent
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Finding("ok", "database", f"{file} will be made at the first start")
    return Finding("fail", "database", f"{folder} is no folder that this user can write to", f"mkdir -p {folder}")


async def _reached(store: Store, settings: Settings) -> Finding:
    asked = func.sqlite_version() if store.dialect == "sqlite" else func.current_setting("server_version")
    async with store.reading() as tx:
        number = (await tx.execute(select(asked))).scalar_one()
    return Finding("ok", "database", f"{shown(settings.database_url)} answers: {store.dialect} {number}")


async def _schema(store: Store) -> Finding:
    found = await version(store)
    if found.current:
        return Finding("ok", "schema", f"at {found.found}, the newest")
    says = f"at {found.found}, this program wants {found.wanted}" if found.found else "not there yet"
    return Finding("fail" if store.dialect != "sqlite" else "warn", "schema", says, "Run `hookline migrate`")


async def _secrets(store: Store, settings: Settings) -> Finding:
    """Which master keys have sealed what is stored, and whether they are all there."""
    keys = master_keys(settings)
    if keys is None:
        says = "the database is there, and the file of its keys is not"
        return Finding("warn", "secrets", says, "Restore it: without it the secrets of registered webhooks stay shut")
    survey = await Resealing(store, KeyRing.parse(keys), system_surroundings()).survey()
    counts = ", ".join(f"{count} with {name}" for name, count in sorted(survey.sealed.items()))
    says = f"sealed {counts}; the newest master key is {survey.newest}" if counts else "none stored yet"
    if survey.lost:
        mend = f"Put {', '.join(sorted(survey.missing))} back into MASTER_KEYS, behind the newest one"
        return Finding("fail", "secrets", f"{says}; {survey.lost} cannot be opened", mend)
    if survey.older:
        return Finding("warn", "secrets", says, "Run `hookline secrets rotate` before you take an older key away")
    return Finding("ok", "secrets", says)


async def _clock(store: Store) -> Finding:
    if store.dialect == "sqlite":
        return Finding("ok", "clock", "the database has this machine's clock")
    async with store.reading() as tx:
        before = datetime.now(UTC)
        theirs: datetime = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
        after = datetime.now(UTC)
    apart = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    says = f"{apart:.1f} s from the database's"
    if apart < _NOTABLE_S:
        return Finding("ok", "clock", says)
    return Finding("warn" if apart < _HARMFUL_S else "fail", "clock", says, "Keep both machines in time with NTP")


async def _bus(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.bus_url.startswith("amqp"):
        yield Finding("ok", "bus", "in-process, nothing to reach")
        return
    try:
        async with connected(settings.bus_url, "doctor") as connection:
            survey = await topology.inspect(connection)
    except BrokerFault as error:
        yield _of_bus(away(str(error)))
        return
    yield Finding("ok", "bus", "RabbitMQ answers")
    for problem in differing(survey):
        yield _of_bus(problem)
    for depth in survey.depths:
        says = f"{depth.messages} messages, {depth.consumers} consumers"
        yield Finding("ok", depth.queue, says)


def _of_bus(problem: Problem) -> Finding:
    return Finding("fail", problem.subject, problem.says, problem.mend)


def _egress(settings: Settings) -> Iterator[Finding]:
    """What deliveries may reach beyond the public internet."""
    if not settings.allowed_networks:
        yield Finding("ok", "egress", "deliveries reach public addresses only")
    for network in settings.allowed_networks:
        if network.prefixlen == 0:
            mend = "Name the networks that are meant in ALLOWED_NETWORKS"
            yield Finding("fail", "egress", f"{network} lets deliveries reach every address, this machine's too", mend)
        else:
            yield Finding("warn", "egress", f"deliveries may reach {network}", "Not where customers choose the URLs")
    if not settings.require_https:
        yield Finding("warn", "egress", "plain http is accepted for every host", "Set REQUIRE_HTTPS=true")
