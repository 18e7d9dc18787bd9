"""What befalls processes, machines and the broker."""

import asyncio
from typing import TYPE_CHECKING

from tests.simulation.scenario import Misfortune

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


async def suffer(world: "World") -> None:
    """Let everything happen that the scenario has in store."""
    async with asyncio.TaskGroup() as group:
        for one in world.scenario.misfortunes:
            group.create_task(_befall(world, one))


async def _befall(world: "World", one: Misfortune) -> None:
    await asyncio.sleep(one.at)
    process = world.slots[one.slot]
    world.story.tell("fate", f"{one.blow} {one.size:.1f} for {process.name}")
    match one.blow:
        case "crash at a step":
            process.life.steps_left = int(one.size)
            await _replaced(world, one, process)
        case "crash at a point":
            process.life.points_left = int(one.size)
            await _replaced(world, one, process)
        case "stop":
            process.stop()
            await _replaced(world, one, process)
        case "cut":
            for connection in [one for one in world.broker.connections if one.life is process.life]:
                world.broker.cut(connection, one.size)
        case "broker down":
            world.broker.stop()
            await asyncio.sleep(one.size)
            world.broker.start()
        case "clock":
            world.watches[one.slot].skew_s += one.size
            world.jumped = True


async def _replaced(world: "World", one: Misfortune, process: "Process") -> None:
    """Wait for the end of a process, and start another in its place."""
    await process.over
    await asyncio.sleep(one.back_after)
    if world.slots[one.slot] is process:
        world.start(one.slot)
