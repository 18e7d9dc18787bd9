"""The TaskMonk that our tests ask answers its SDK as the captured one did."""

import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.fakes.taskmonk import TaskMonk, open_taskmonk

CAPTURED = Path(__file__).parents[2] / "fixtures/taskmonk/sdk_0.29.jsonl"
CALLS = [json.loads(line) for line in CAPTURED.read_text().splitlines()]


async def test_it_answers_every_captured_call_alike() -> None:
    async with open_taskmonk() as monk, aiohttp.ClientSession() as session:
        for number, call in enumerate(CALLS):
            headers = {"Authorization": "Bearer tok1", "Content-Type": "application/json"}
            url = monk.url + call["path"]
            async with session.request(call["method"], url, data=call["body"], headers=headers) as response:
                said = await response.text()
                found: Any = json.loads(said) if response.content_type == "application/json" else said
            assert (response.status, likened(found)) == (call["status"], likened(call["response"])), call
            go_on(monk, number)


def go_on(monk: TaskMonk, number: int) -> None:
    """Let the time pass that lay between the captured calls: a job half done, then done, and its batch."""
    match CALLS[number]["path"].rpartition("/")[2]:
        case "import?fileType=CSV":
            monk.jobs["job-1"].total, monk.jobs["job-1"].completed = 2, 1
        case "status":
            monk.jobs["job-1"].finish()
        case "dictionary":
            monk.batches["batch-1"].total = monk.batches["batch-1"].completed = 2


def likened(answer: Any) -> Any:
    """An answer without the address of whoever gave it."""
    if isinstance(answer, dict) and "file_url" in answer:
        return answer | {"file_url": "http://127.0.0.1" + answer["file_url"].partition("/dl/")[2]}
    return answer
