"""A store on each database in turn, and a program on each pair of servers."""

from tests.support.stores import database_url, prepared_postgres, store

__all__ = ["database_url", "prepared_postgres", "store"]
