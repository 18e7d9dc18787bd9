"""Every annotation system on one page."""

from consumers.sources.potato.connector import POTATO
from consumers.sources.system import AnySystem
from consumers.sources.tagtog.connector import TAGTOG
from consumers.sources.taskmonk.connector import TASKMONK

SYSTEMS: dict[str, AnySystem] = {system.name: system for system in (POTATO, TAGTOG, TASKMONK)}
