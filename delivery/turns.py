"""Turns: accounts take them one after the other, within an account the origins it sends to, and there its endpoints."""

from collections import OrderedDict, deque
from collections.abc import Callable

from delivery.domain.model import AccountId, EndpointId

#: Whether an account may have a turn; and whether it may have one there.
May = Callable[[AccountId, str | None], bool]


class Turns:
    """Endpoints that have something to send, in the order in which they may."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[AccountId, OrderedDict[str, deque[EndpointId]]] = OrderedDict()

    def add(self, account_id: AccountId, origin: str, endpoint_id: EndpointId) -> None:
        """Queue an endpoint behind the others of its account and origin; new ones of these behind the others."""
        self._accounts.setdefault(account_id, OrderedDict()).setdefault(origin, deque()).append(endpoint_id)

    def next(self, may: May) -> EndpointId | None:
        """Take the endpoint whose turn it is, of those that may; its account and origin queue behind the others."""
        for account_id, origins in self._accounts.items():
            if may(account_id, None):
                origin = next((origin for origin in origins if may(account_id, origin)), None)
                if origin is not None:
                    return self._take(account_id, origin)
        return None

    def _take(self, account_id: AccountId, origin: str) -> EndpointId:
        origins = self._accounts.pop(account_id)
        endpoints = origins.pop(origin)
        endpoint_id = endpoints.popleft()
        if endpoints:
            origins[origin] = endpoints
        if origins:
            self._accounts[account_id] = origins
        return endpoint_id

    def remove(self, account_id: AccountId, origin: str, endpoint_id: EndpointId) -> None:
        """Take an endpoint out before its turn."""
        origins = self._accounts[account_id]
        origins[origin].remove(endpoint_id)
        if not origins[origin]:
            del origins[origin]
        if not origins:
            del self._accounts[account_id]
