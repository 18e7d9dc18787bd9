"""Turns: accounts take them one after the other, and within an account its endpoints do."""

from collections import OrderedDict, deque

from delivery.domain.model import AccountId, EndpointId


class Turns:
    """Endpoints that have something to send, in the order in which they may."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[AccountId, deque[EndpointId]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def add(self, account_id: AccountId, endpoint_id: EndpointId) -> None:
        """Queue an endpoint behind the others of its account; a new account behind the other accounts."""
        self._accounts.setdefault(account_id, deque()).append(endpoint_id)

    def next(self) -> EndpointId:
        """Take the endpoint whose turn it is; its account then queues again behind the others."""
        account_id, endpoints = self._accounts.popitem(last=False)
        endpoint_id = endpoints.popleft()
        if endpoints:
            self._accounts[account_id] = endpoints
        return endpoint_id

    def clear(self) -> None:
        """Forget all."""
        self._accounts.clear()
