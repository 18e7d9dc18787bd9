"""What people fill in."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from service.api.calls import Call, fields, validated
from service.cookies import CSRF_FIELD

T = TypeVar("T", bound=BaseModel)


class Form(BaseModel):
    """The fields of a form, each a text until it is read; an empty one says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, str_strip_whitespace=True)


async def filled(call: Call[None], model: type[T]) -> T:
    """Read a form.

    Raises:
        InvalidInput: ``invalid_payload``, with the first field at fault.
    """
    typed = dict(await fields(call.request))
    typed.pop(CSRF_FIELD, None)
    return validated(model, {name: value for name, value in typed.items() if value.strip()})
