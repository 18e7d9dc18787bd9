"""`hookline demo`."""

import asyncio
import tempfile
from pathlib import Path

import click

from service.commands.examples import examples


@examples("hookline demo", "hookline demo --once    # ends by itself, with 0 when all was delivered")
@click.command()
@click.option("--once", is_flag=True, help="End with 0 when every sample was delivered to both receivers.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port of the service; default a free one.")
def demo(*, once: bool, port: int) -> None:
    """Show it all at work: one process, nothing else needed.

    A fresh SQLite file in a temporary folder, the bus inside the process, and two receivers that verify signatures,
    one of which fails at first and recovers. Each of the six event types is published once, half of them over HTTP,
    half over the bus. Settings of the environment do not matter here.
    """
    from service.demo import run_demo

    with tempfile.TemporaryDirectory(prefix="hookline-demo-") as folder:
        asyncio.run(run_demo(Path(folder), port, once=once))
