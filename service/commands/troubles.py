"""Expected trouble, told in one line."""

from delivery.domain.errors import HooklineError
from service.trouble import Trouble


def explain(error: Exception) -> str | None:
    """Say what went wrong and, where it is known, how to mend it; None: it was not to be expected.

    >>> explain(Trouble("The database has no schema yet"))
    'The database has no schema yet'
    >>> explain(KeyError("a mistake of ours"))
    """
    if isinstance(error, (Trouble, HooklineError)):
        return str(error)
    # the rest comes from deeper down, and takes a while to import
    from consumers.health import BusUnavailable
    from delivery.store.engine import is_database_fault
    from service.database import first_line

    if isinstance(error, BusUnavailable):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if is_database_fault(error):
        return f"The database cannot be used: {first_line(error)}"
    return None
