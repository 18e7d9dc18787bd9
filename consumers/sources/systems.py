"""Every annotation system on one page."""

from consumers.sources.system import AnySystem
from consumers.sources.tagtog import TAGTOG

SYSTEMS: dict[str, AnySystem] = {system.name: system for system in (TAGTOG,)}
