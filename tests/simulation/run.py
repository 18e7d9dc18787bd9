"""One seed, from its scenario to the verdict."""

import atexit
import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from tests.simulation.database import make_template
from tests.simulation.loop import VirtualLoop
from tests.simulation.scenario import ACCOUNTS, Scenario
from tests.simulation.story import Story
from tests.simulation.themes import draw
from tests.simulation.verdict import Violation, judge
from tests.simulation.world import World


@dataclass(frozen=True)
class Result:
    """What became of a seed. ``digest`` names the story: the same for every run of this seed."""

    seed: int
    violations: tuple[Violation, ...]
    digest: str
    steps: int
    virtual_s: float
    real_s: float


def simulate(seed: int, aloud: Callable[[str], object] | None = None) -> Result:
    """Run a seed."""
    began = time.process_time()
    story = Story(aloud)
    scenario = draw(seed)
    loop = VirtualLoop(Random(f"loop {seed}"), shuffles=scenario.shuffles)
    collecting = gc.isenabled()
    gc.disable()  # what is dropped at some moment of the machine's choosing must not run in the middle
    with tempfile.TemporaryDirectory(dir=_fast_folder(), prefix="hookline-simulation-") as folder:
        path = Path(folder) / "simulated.db"
        shutil.copyfile(_template(), path)
        try:
            violations = loop.run_until_complete(_run(loop, path, scenario, story))
        except Exception as error:  # noqa: BLE001 - whatever broke the run is what the seed has found
            violations = (Violation("a run comes to its end", repr(error)),)
        finally:
            steps, virtual_s = loop.steps, loop.time()
            loop.close()
            if collecting:
                gc.enable()
    return Result(seed, violations, story.digest, steps, virtual_s, time.process_time() - began)


async def _run(loop: VirtualLoop, path: Path, scenario: Scenario, story: Story) -> tuple[Violation, ...]:
    world = World(scenario, path, story)
    with world.staged():
        try:
            await world.run()
            world.history.close()
            broken = [Violation("nothing breaks unseen", what) for what in loop.broken]
            return (*broken, *judge(world))
        finally:
            await world.bury()


@cache
def _fast_folder() -> Path:
    """Where files are memory, if there is such a place."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


@cache
def _template() -> Path:
    """The file with the schema, made once."""
    folder = tempfile.TemporaryDirectory(dir=_fast_folder(), prefix="hookline-template-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "template.db"
    make_template(path, ACCOUNTS)
    return path
