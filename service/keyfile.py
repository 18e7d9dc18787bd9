"""The keys that the embedded database gets by itself: made on first start, in a 0600 file beside the SQLite file."""

import base64
import json
import os
import secrets
from pathlib import Path

from service.settings import Settings, SettingsError


def with_keys(settings: Settings) -> Settings:
    """Fill in the master key and the JWT secret where the settings leave them to us."""
    if settings.sqlite_file is None or (settings.master_keys and settings.tokens_known):
        return settings
    path = key_file(settings.sqlite_file)
    made = _read(path) or _make(path)
    return settings.model_copy(
        update={
            "master_keys": settings.master_keys or made["master_keys"],
            "jwt_secret": settings.jwt_secret if settings.tokens_known else made["jwt_secret"],
        }
    )


def key_file(database: Path) -> Path:
    """Where the keys of an embedded database are.

    >>> str(key_file(Path("data/hookline.db")))
    'data/hookline.db.keys'
    """
    return database.with_suffix(database.suffix + ".keys")


def master_keys(settings: Settings) -> str | None:
    """The master keys, if there are any yet; none are made."""
    if settings.master_keys is not None or settings.sqlite_file is None:
        return settings.master_keys
    found = _read(key_file(settings.sqlite_file))
    return found["master_keys"] if found else None


def _read(path: Path) -> dict[str, str] | None:
    try:
        found: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:  # the first start
        return None
    except ValueError as error:
        raise SettingsError(f"{path} is damaged; restore it, or stored signing secrets cannot be opened") from error
    return found


def _make(path: Path) -> dict[str, str]:
    keys = {
        "master_keys": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "jwt_secret": secrets.token_urlsafe(48),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(keys, file)
    except FileExistsError:  # another process was first: its keys are the ones
        return _read(path) or keys
    return keys
