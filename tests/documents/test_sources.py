"""The guide to connecting annotation tools: its lines are run against tools on this machine."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from consumers.sources.systems import SYSTEMS
from service.clock import SystemClock
from tests.documents.blocks import blocks
from tests.fakes.potato import KEY, potato_at_work
from tests.fakes.tagtog import LOGIN, open_tagtog
from tests.fakes.taskmonk import CLIENT, open_taskmonk
from tests.support.program import Program

GUIDE = "deploy/sources.md"
BLOCKS = {heading: found for heading, [found] in blocks(GUIDE, "sh").items()}


def test_every_block_of_the_guide_is_tried_here() -> None:
    assert list(BLOCKS) == ["Potato", "tagtog", "TaskMonk", "How they are"]
    assert list(blocks(GUIDE, "yaml")) == ["Potato"]
    assert {system.title for system in SYSTEMS.values()} <= set(BLOCKS)


async def typed(lines: str, program: Program, folder: Path) -> str:
    """Type lines into a shell; return what they print."""
    environment = program.environ({}) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", lines, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await shell.communicate()
    assert shell.returncode == 0, lines
    return out.decode()


@pytest.mark.slow
async def test_the_lines_of_the_guide_connect_every_tool(tmp_path: Path) -> None:
    program = Program(tmp_path)
    (tmp_path / "potato-key.txt").write_text(KEY)
    (tmp_path / "tagtog-password.txt").write_text(LOGIN["password"])
    (tmp_path / "webhook-password.txt").write_text("webhooks")
    (tmp_path / "taskmonk-secret.txt").write_text(CLIENT["client_secret"])
    async with (
        potato_at_work() as potato,
        open_tagtog(SystemClock()) as tagtog,
        open_taskmonk() as monk,
        program.serving(),
    ):
        await program.bootstrap()
        stand_ins = {
            "https://potato.example.com": potato.url,
            "https://www.tagtog.com": tagtog.url,
            "https://api.taskmonk.io": monk.url,
            "username=hookline": f"username={LOGIN['username']}",
            "project=notes": "project=travel",
            "client_id=acme": f"client_id={CLIENT['client_id']}",
        }
        for heading in ("Potato", "tagtog", "TaskMonk"):
            lines = BLOCKS[heading]
            for shown, here in stand_ins.items():
                lines = lines.replace(shown, here)
            assert "Connected src_" in await typed(lines, program, tmp_path)
        said = await typed(BLOCKS["How they are"], program, tmp_path)
    assert "Nothing wants mending" in said
    polled = said.rpartition("NEW EVENTS")[2].splitlines()[1:]
    assert sorted(line.split()[:2] for line in polled) == [["ok", "potato"], ["ok", "tagtog"], ["ok", "taskmonk"]]


def test_the_piece_of_potatos_configuration_is_one_of_its_webhooks() -> None:
    [piece] = blocks(GUIDE, "yaml")["Potato"]
    members = [line.strip(" -").partition(":")[0] for line in piece.splitlines()]
    assert members == ["webhooks", "enabled", "endpoints", "name", "url", "secret", "events", "active"]
    assert "/api/inbound/src_" in piece
