"""What a process keeps to itself: the file of its keys, its memory, and what it knows when it says what it holds."""

import os
import stat
from pathlib import Path
from resource import RLIMIT_CORE, prlimit

import pytest
from argon2 import PasswordHasher, extract_parameters
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from delivery.departures import Cleared
from delivery.store.engine import Store
from service.credentials import Credentials, Passwords
from service.keyfile import key_file, with_keys
from service.settings import Settings
from tests.support.program import Program
from tests.support.samples import an_endpoint

SECRET = "a-secret-that-nobody-may-read"


def test_the_file_of_the_keys_is_its_owners_whatever_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        settings = with_keys(Settings(database_url=f"sqlite+aiosqlite:///{tmp_path / 'hookline.db'}"))
    finally:
        os.umask(before)
    file = key_file(tmp_path / "hookline.db")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert with_keys(Settings(database_url=settings.database_url)) == settings, "and is read at the next start"


async def test_a_running_service_leaves_no_core_behind(tmp_path: Path, sqlite_url: str) -> None:
    async with Program(tmp_path, {"DATABASE_URL": sqlite_url}).serving() as service:
        soft, _ = prlimit(service.process.pid, RLIMIT_CORE)
    assert soft == 0


def test_what_holds_a_secret_does_not_show_it() -> None:
    settings = Settings(
        database_url=f"postgresql+asyncpg://hook:{SECRET}@db/hookline",
        bus_url=f"amqp://hook:{SECRET}@bus/",
        egress_proxy=f"http://hook:{SECRET}@proxy:3128",
        master_keys="k1:" + "A" * 43 + "=",
        jwt_secret=SECRET + SECRET,
    )
    holders = [settings, Credentials("key", SECRET), Cleared(an_endpoint(), (SECRET,)), "\n".join(settings.lines())]
    for holder in holders:
        assert SECRET not in repr(holder)
        assert "A" * 43 not in repr(holder)


async def test_an_error_of_the_database_does_not_quote_what_the_statement_was_called_with(store: Store) -> None:
    with pytest.raises(DBAPIError) as error:
        async with store.writing() as tx:
            await tx.execute(text("SELECT nonsense FROM users WHERE email = :email"), {"email": SECRET})
    assert SECRET not in str(error.value)


async def test_passwords_are_hashed_as_slowly_as_is_recommended() -> None:
    costs = extract_parameters(await Passwords().hash("choose-a-good-one"))
    assert str(costs.type) == "Type.ID"
    # RFC 9106, second recommended option, and above what OWASP asks for
    assert (costs.memory_cost, costs.time_cost, costs.parallelism) >= (65_536, 3, 4)
    assert not PasswordHasher().check_needs_rehash(await Passwords().hash("x"))
