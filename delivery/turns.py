"""Turns: accounts take them one after the other, and within an account its endpoints do."""

from collections import OrderedDict, deque
from collections.abc import Callable

from delivery.domain.model import AccountId, EndpointId


class Turns:
    """Endpoints that have something to send, in the order in which they may."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[AccountId, deque[EndpointId]] = OrderedDict()

    def add(self, account_id: AccountId, endpoint_id: EndpointId) -> None:
        """Queue an endpoint behind the others of its account; a new account behind the other accounts."""
        self._accounts.setdefault(account_id, deque()).append(endpoint_id)

    def next(self, may: Callable[[AccountId], bool]) -> EndpointId | None:
        """Take the endpoint whose turn it is, of an account that may; its account then queues behind the others."""
        account_id = next((account_id for account_id in self._accounts if may(account_id)), None)
        if account_id is None:
            return None
        endpoints = self._accounts.pop(account_id)
        endpoint_id = endpoints.popleft()
        if endpoints:
            self._accounts[account_id] = endpoints
        return endpoint_id

    def remove(self, account_id: AccountId, endpoint_id: EndpointId) -> None:
        """Take an endpoint out before its turn."""
        endpoints = self._accounts[account_id]
        endpoints.remove(endpoint_id)
        if not endpoints:
            del self._accounts[account_id]
