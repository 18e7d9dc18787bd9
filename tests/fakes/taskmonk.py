"""TaskMonk, as far as its SDK and our source ask it: projects with batches and jobs that go on when a test says so."""

import base64
import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web

CLIENT = {"client_id": "cid", "client_secret": "the-secret"}


@dataclass
class Work:
    """A batch or a job: how far it is. One that is ``gone`` is answered by 404, one that ``fails`` by 500."""

    total: int = 0
    completed: int = 0
    gone: bool = False
    fails: bool = False
    members: dict[str, Any] = field(default_factory=dict)

    def finish(self) -> None:
        self.completed = self.total

    @property
    def percentage(self) -> int:
        return 100 * self.completed // self.total if self.total else 0


@dataclass
class TaskMonk:
    """One project, 42. ``answer`` is what it says instead of anything, ``tokens`` are those that are good.

    ``ends_tokens_after`` so many calls: 1, or 0 for none at all.
    """

    url: str = ""
    project: str = "42"
    batches: dict[str, Work] = field(default_factory=dict)
    jobs: dict[str, Work] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    answer: web.Response | None = None
    asked: list[str] = field(default_factory=list)
    token_requests: list[tuple[str, str]] = field(default_factory=list)
    hides_batches: bool = False
    ends_tokens_after: int | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def batch(self, name: str, total: int, completed: int = 0, **members: Any) -> Work:
        self.batches[name] = Work(total, completed, members=members)
        return self.batches[name]

    def job(self, name: str, total: int, completed: int = 0, **members: Any) -> Work:
        self.jobs[name] = Work(total, completed, members=members)
        return self.jobs[name]

    def knows(self, token: str) -> bool:
        """Whether a token is good, which it may be for a number of calls only."""
        if token not in self.tokens or self.ends_tokens_after == 0:
            return False
        if self.ends_tokens_after is not None:
            self.tokens.discard(token)
        return True

    # -- routes --------------------------------------------------------------------------------------------------------

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        values = dict(request.query) or form
        self.token_requests.append(("query" if request.query else "form", values.get("client_id", "")))
        if any(values.get(name) != value for name, value in CLIENT.items()):
            return web.json_response({"error": "invalid_client"}, status=401)
        token = f"tok{next(self._numbers)}"
        self.tokens.add(token)
        return web.json_response(
            {"token_type": "Bearer", "access_token": token, "refresh_token": "r1", "expires_in": 3600}
        )

    async def list_batches(self, _request: web.Request) -> web.Response:
        shown = [] if self.hides_batches else self.batches
        return web.json_response(
            [
                {
                    "id": name,
                    "project_id": self.project,
                    "name": "b",
                    "priority": 0,
                    "comments": "",
                    "notifications": [],
                }
                for name in shown
            ]
        )

    async def create_batch(self, _request: web.Request) -> web.Response:
        name = f"batch-{len(self.batches) + 1}"
        self.batch(name, 0)
        return web.json_response({"id": name})

    async def upload(self, request: web.Request) -> web.Response:
        rows = gzip.decompress(base64.b64decode(await request.text())).decode().strip().splitlines()[1:]
        return self._job(request, "job_id", len(rows), batch_id=request.match_info["batch"])

    async def import_url(self, request: web.Request) -> web.Response:
        return self._job(request, "jobId", 1)

    async def import_rows(self, request: web.Request) -> web.Response:
        return self._job(request, "job_id", len(await request.json()))

    def _job(self, request: web.Request, member: str, rows: int, **more: str) -> web.Response:
        name = f"job-{len(self.jobs) + 1}"
        self.job(name, rows)
        self.batches[request.match_info["batch"]].total += rows
        return web.json_response({**more, member: name})

    async def job_status(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.match_info["job"])
        if job is None or job.gone:
            return web.json_response({"error": "not found"}, status=404)
        return web.json_response(
            {"completed": job.completed, "total": job.total, "percentage": job.percentage} | job.members
        )

    async def batch_status(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["batch"])
        if batch is None or batch.gone:
            return web.json_response({"error": "not found"}, status=404)
        if batch.fails:
            return web.Response(status=500)
        waiting = {"new_count": batch.total - batch.completed, "in_progress": 0}
        return web.json_response(waiting | {"completed": batch.completed, "total": batch.total} | batch.members)

    async def output(self, _request: web.Request) -> web.Response:
        self.job("job-out", 2, 2)
        return web.json_response({"file_url": f"{self.url}/dl/output.csv", "job_id": "job-out"})

    async def output_rows(self, request: web.Request) -> web.Response:
        row = {"external_id": "x1", "batch_id": request.match_info["batch"], "data": {"sentiment": "positive"}}
        page = (await request.json())["page"]
        return web.json_response({"items": [row] if page == 1 else [], "total": 1, "page": page, "page_size": 1})

    async def download(self, _request: web.Request) -> web.Response:
        return web.Response(text="id,label\n1,positive\n2,negative\n")

    async def set_state(self, request: web.Request) -> web.Response:
        return web.json_response({"state": (await request.json())["state"]})


@web.middleware
async def _guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse strangers; say what the test wants said in the place of everything else."""
    monk: TaskMonk = request.app[_MONK]
    monk.asked.append(request.path)
    if request.path == "/api/oauth2/token" or request.path.startswith("/dl/"):
        return await handler(request)  # type: ignore[no-any-return] # aiohttp's own word for a handler
    if monk.answer is not None:
        return web.Response(status=monk.answer.status, body=monk.answer.body)
    if not monk.knows(request.headers.get("Authorization", "").removeprefix("Bearer ")):
        return web.json_response({"error": "unauthorized"}, status=401)
    if request.match_info.get("project") != monk.project:
        return web.json_response({"error": "no such project"}, status=404)
    return await handler(request)  # type: ignore[no-any-return]


_MONK = web.AppKey("monk", TaskMonk)


@asynccontextmanager
async def open_taskmonk() -> AsyncIterator[TaskMonk]:
    """Run one while the block is open."""
    monk = TaskMonk()
    app = web.Application(middlewares=[_guarded])
    app[_MONK] = monk
    project, batch = "/api/project/{project}", "/api/project/{project}/batch/{batch}"
    versioned = "/api/project/v2/{project}/batch/{batch}"
    app.add_routes(
        [
            web.post("/api/oauth2/token", monk.token),
            web.get(f"{project}/batch", monk.list_batches),
            web.post(f"{project}/batch", monk.create_batch),
            web.post(f"{versioned}/tasks/import", monk.upload),
            web.post(f"{batch}/tasks/import/url", monk.import_url),
            web.post(f"{batch}/tasks/import/dictionary", monk.import_rows),
            web.get(f"{project}/job/{{job}}/status", monk.job_status),
            web.get(f"{batch}/status", monk.batch_status),
            web.post(f"{versioned}/output", monk.output),
            web.post(f"{batch}/output/dictionary", monk.output_rows),
            web.put(f"{batch}/state", monk.set_state),
            web.get("/dl/output.csv", monk.download),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monk.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield monk
    finally:
        await runner.cleanup()
