"""`hookline bootstrap` and `hookline keys`: who may use the service. They work on the database of the settings."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from delivery.domain.deeds import COMMAND_LINE
from delivery.domain.model import AccountId, Plan, Scope
from service.commands.examples import examples
from service.commands.printing import print_json, print_table
from service.commands.situation import Situation
from service.settings import Settings

if TYPE_CHECKING:
    from delivery.store.accounts import ApiKey
    from delivery.store.engine import Store
    from service.auth import Auth

T = TypeVar("T")

_PLANS = ("free", "starter", "pro", "enterprise")
_SCOPES = ("publish", "manage", "operate")
_PAGE = 100


@dataclass(frozen=True, slots=True)
class _Office:
    """What is needed to see to accounts."""

    store: "Store"
    auth: "Auth"

    async def account(self, email: str | None, account: str | None) -> AccountId:
        """Find the account that the options name."""
        from delivery.store import accounts

        async with self.store.reading() as tx:
            if email is not None:
                user = await accounts.user_by_email(tx, email)
                found = user.account_id if user else None
            else:
                known = await accounts.find_account(tx, account or "")
                found = known.id if known else None
        if found is None:
            raise click.ClickException(f"There is no account of {email or account}; `hookline bootstrap` makes one")
        return found


@asynccontextmanager
async def _open_office(settings: Settings) -> AsyncIterator[_Office]:
    from service.auth import Auth
    from service.database import open_database
    from service.keyfile import with_keys
    from service.runtime import system_surroundings

    settings, around = with_keys(settings), system_surroundings()
    async with open_database(settings) as store:
        yield _Office(store, Auth(store, around, settings))


def _in_office(situation: Situation, work: Callable[[_Office], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _open_office(situation.settings()) as office:
            return await work(office)

    return asyncio.run(run())


@examples(
    "hookline bootstrap --email you@example.com --password choose-a-good-one",
    "hookline bootstrap --email ops@example.com --password choose-a-good-one --operator --json",
)
@click.command()
@click.option("--email", required=True, help="Whom the account belongs to, and who logs in.")
@click.option("--password", required=True, help="The password to log in with.")
@click.option("--plan", type=click.Choice(_PLANS), help="How much its keys may publish; default: not metered.")
@click.option("--operator", is_flag=True, help="Let the user and the key act for every account.")
@click.option("--json", "as_json", is_flag=True, help='Print {"account_id", "user_id", "api_key", "token"}.')
@click.pass_obj
def bootstrap(  # noqa: PLR0913 - one argument per option
    situation: Situation, email: str, password: str, plan: Plan | None, *, operator: bool, as_json: bool
) -> None:
    """Make an account with a user and an API key.

    Run again it finds the same account and user, sets the password, and replaces the key that it made before.
    """
    made = _in_office(situation, lambda office: office.auth.bootstrap(email, password, plan, operator))
    if as_json:
        print_json(made._asdict())
        return
    for name, value in made._asdict().items():
        click.echo(f"{name:<10}  {value}")


@click.group()
def keys() -> None:
    """See to API keys."""


def _names_account(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the two options that name an account, of which it takes one."""
    for option in (
        click.option("--account", metavar="ID", help="The account, by its id."),
        click.option("--email", help="The account, by the address of its user."),
    ):
        command = option(command)
    return command


def _check_named(email: str | None, account: str | None) -> None:
    if (email is None) == (account is None):
        raise click.UsageError("Name the account by --email or by --account")


@examples(
    "hookline keys create --email you@example.com --name laptop",
    "hookline keys create --email you@example.com --scope publish --json",
)
@keys.command()
@_names_account
@click.option("--name", default="", help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    default=("publish", "manage"),
    show_default=True,
    help="What it may do; give it once for each.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the key as JSON.")
@click.pass_obj
def create(  # noqa: PLR0913 - one argument per option
    situation: Situation, email: str | None, account: str | None, name: str, scopes: Sequence[Scope], *, as_json: bool
) -> None:
    """Make an API key. It is shown this once."""
    _check_named(email, account)

    async def work(office: _Office) -> "tuple[ApiKey, str]":
        return await office.auth.create_key(await office.account(email, account), name, scopes, by=COMMAND_LINE)

    key, text = _in_office(situation, work)
    if as_json:
        print_json(_shown(key) | {"key": text})
    else:
        click.echo(f"{text}  ({key.id}, {', '.join(key.scopes)}; shown this once)")


@examples("hookline keys list --email you@example.com")
@keys.command("list")
@_names_account
@click.option("--json", "as_json", is_flag=True, help="Print the keys as JSON.")
@click.pass_obj
def list_(situation: Situation, email: str | None, account: str | None, *, as_json: bool) -> None:
    """List the API keys of an account, revoked ones too."""
    _check_named(email, account)

    async def work(office: _Office) -> "list[ApiKey]":
        return await _all_keys(office.store, await office.account(email, account))

    found = [_shown(key) for key in _in_office(situation, work)]
    if as_json:
        print_json({"items": found, "next": None})
        return
    columns = ("id", "name", "last4", "scopes", "created_at", "last_used_at", "revoked_at")
    rows = [[", ".join(key[name]) if name == "scopes" else str(key[name] or "-") for name in columns] for key in found]
    print_table([name.upper() for name in columns], rows)


@examples("hookline keys revoke key_019b76daa800f2a74de452e6b438")
@keys.command()
@click.argument("key_id")
@click.pass_obj
def revoke(situation: Situation, key_id: str) -> None:
    """Revoke an API key, by its id. No process accepts it from now on."""

    async def work(office: _Office) -> bool:
        from delivery.store.reach import EVERYONE

        return await office.auth.revoke_key(EVERYONE, key_id, by=COMMAND_LINE)

    if not _in_office(situation, work):
        raise click.ClickException(f"There is no key {key_id} in use; `hookline keys list` shows their ids")
    click.echo(f"Revoked {key_id}")


async def _all_keys(store: "Store", account_id: AccountId) -> "list[ApiKey]":
    from delivery.store import accounts
    from delivery.store.cursors import PageRequest
    from delivery.store.reach import Reach

    found: list[ApiKey] = []
    request: PageRequest | None = PageRequest(_PAGE)
    async with store.reading() as tx:
        while request is not None:
            page = await accounts.browse_keys(tx, Reach(account_id), request)
            found += page.items
            request = PageRequest(_PAGE, page.next) if page.next else None
    return found


def _shown(key: "ApiKey") -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "last4": key.last4,
        "scopes": list(key.scopes),
        "created_at": _moment(key.created_at),
        "last_used_at": _moment(key.last_used_at),
        "revoked_at": _moment(key.revoked_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None
