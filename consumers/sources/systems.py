"""Every annotation system on one page."""

from collections.abc import Mapping

from consumers.sources.system import AnySystem

SYSTEMS: Mapping[str, AnySystem] = {}
