"""The trade: what an event, an endpoint, a delivery and an attempt are, and how nothing accepted gets lost.

Knows neither the broker (``consumers``) nor the web (``service``).
"""

from importlib.metadata import version

VERSION = version("hookline")
