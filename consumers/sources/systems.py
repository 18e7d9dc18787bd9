"""Every annotation system on one page."""

from consumers.sources.potato import POTATO
from consumers.sources.system import AnySystem
from consumers.sources.tagtog import TAGTOG
from consumers.sources.taskmonk import TASKMONK

SYSTEMS: dict[str, AnySystem] = {system.name: system for system in (POTATO, TAGTOG, TASKMONK)}
