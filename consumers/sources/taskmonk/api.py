"""The calls of TaskMonk's API that a source makes, and what they answer (its SDK 0.29 makes the same)."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, TypeAdapter

from consumers.sources.remote import AccessRefusedError, Answer, Remote, expected
from consumers.sources.system import Place

#: An id, which some answers have as a number.
_Id = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class _Token(BaseModel):
    access_token: str


class _Batch(BaseModel):
    id: _Id


class Progress(BaseModel):
    """How far a batch or a job is. A number that is missing is no nought: such an answer is malformed."""

    completed: int = Field(ge=0)
    total: int = Field(ge=0)
    job_id: _Id | None = Field(None, validation_alias=AliasChoices("job_id", "jobId"))
    file_url: str | None = None
    state: Any = None
    status: Any = None

    @property
    def complete(self) -> bool:
        """Everything is done. An empty batch answers nought of nought, and is not complete."""
        return self.total > 0 and self.completed == self.total

    @property
    def cancelled(self) -> bool:
        """Whether it says so; which words TaskMonk has for it is not documented."""
        return any(
            isinstance(word, str) and word.lower() in ("cancelled", "canceled") for word in (self.state, self.status)
        )


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such batch or job (any more)."""


_TOKEN = TypeAdapter(_Token)
_BATCHES = TypeAdapter(list[_Batch])
_PROGRESS = TypeAdapter(Progress)
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class TaskMonkApi:
    """One project, asked with a token that is got at the first call and lives as long as this object: one poll."""

    def __init__(self, place: Place, project_id: str, client: tuple[str, str], *, token_in: str) -> None:
        self._remote = Remote(place.session, place.url)
        self._project_id = project_id
        self._client = client
        self._token_in = token_in
        self._token: str | None = None

    async def batches(self) -> list[str]:
        """List the project's batches by their ids."""
        answer = expected(await self._get("batch"))
        return [batch.id for batch in answer.read(_BATCHES)]

    async def batch(self, batch: str) -> Progress | Gone:
        """Ask how far a batch is."""
        return _progress(await self._get("batch", batch, "status"))

    async def job(self, job: str) -> Progress | Gone:
        """Ask how far a job is."""
        return _progress(await self._get("job", job, "status"))

    async def _get(self, *path: str) -> Answer:
        """Ask; a token that is refused is got anew once."""
        fresh = self._token is None
        answer = await self._asked(*path)
        if answer.status == HTTPStatus.UNAUTHORIZED and not fresh:
            self._token = None
            answer = await self._asked(*path)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise AccessRefusedError(f"{answer.what} refused a token that was just made (401)")
        return answer

    async def _asked(self, *path: str) -> Answer:
        token = self._token = self._token or await self._new_token()
        headers = {"Authorization": f"Bearer {token}"}
        return await self._remote.get("api", "project", self._project_id, *path, headers=headers)

    async def _new_token(self) -> str:
        values = {
            "grant_type": "client_credentials",
            "client_id": self._client[0],
            "client_secret": self._client[1],
        }
        sent = {"query": {"params": values}, "form": {"data": values}}[self._token_in]
        answer = await self._remote.ask("POST", "api", "oauth2", "token", **sent)
        return expected(answer).read(_TOKEN).access_token


def _progress(answer: Answer) -> Progress | Gone:
    return Gone() if answer.status in _GONE else expected(answer).read(_PROGRESS)
