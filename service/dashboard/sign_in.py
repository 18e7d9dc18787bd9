"""In and out: with a form for people, in JSON for pages that ask with a script."""

import re

from aiohttp import web

from delivery.domain.errors import HooklineError
from service.api.calls import PRINCIPAL, Call, answer, fields, is_form, read_body, validated
from service.api.login import Credentials, LoggedInUser
from service.api.shapes import Shape
from service.cookies import drop_session, keep_session, refuse_other_sites
from service.dashboard.pages import page, see
from service.failures import refused

#: Where to go on after signing in: a page of ours, never another site's. Browsers read ``//`` and ``/\\`` as a host.
_OURS = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


class SignedIn(Shape):
    """Who is in, and what a page hands back in ``X-CSRF-Token`` with every change that it asks for."""

    user: LoggedInUser
    csrf_token: str


async def ask(call: Call[None]) -> web.Response:
    """Show the form."""
    wanted = _wanted(call.request.query.get("next"))
    return see(wanted) if PRINCIPAL in call.request else _form(call, wanted)


async def sign_in(call: Call[None]) -> web.Response:
    """Trade an address and a password for a session that the browser keeps."""
    refuse_other_sites(call.request)
    if not is_form(call.request):
        return await _sign_in(call, await read_body(call.request, Credentials))
    typed = await fields(call.request)
    wanted = _wanted(typed.get("next"))
    try:
        given = {name: typed[name] for name in Credentials.model_fields if name in typed}
        return await _sign_in(call, validated(Credentials, given), wanted)
    except HooklineError as error:  # people read it where they typed
        return _form(call, wanted, typed.get("email", ""), refused(call.request, error), error.message)


async def _sign_in(call: Call[None], asked: Credentials, wanted: str = "/") -> web.Response:
    made = await call.runtime.auth.logins.log_in(asked.email, asked.password, call.address)
    user = LoggedInUser(id=made.user.id, email=made.user.email, plan=made.account.plan)
    response = see(wanted) if is_form(call.request) else answer(SignedIn(user=user, csrf_token=made.csrf))
    keep_session(response, made.token, https=call.https)
    return response


async def sign_out(call: Call[None]) -> web.Response:
    """End the session, and let the browser forget it. Who has none any more is as much out as anyone."""
    principal = call.request.get(PRINCIPAL)
    if principal is not None and principal.session_id is not None:
        await call.runtime.auth.logins.log_out(principal.session_id)
    response = see("/sign-in") if is_form(call.request) else web.Response(status=204)
    drop_session(response, https=call.https)
    return response


def _wanted(asked: str | None) -> str:
    return asked if asked and _OURS.fullmatch(asked) else "/"


def _form(
    call: Call[None], wanted: str, email: str = "", refusal: web.Response | None = None, problem: str = ""
) -> web.Response:
    response = page("sign_in", here=call.runtime.auth.logins.here, wanted=wanted, email=email, problem=problem)
    if refusal is not None:
        response.set_status(refusal.status)
        response.headers.extend({name: value for name, value in refusal.headers.items() if name == "Retry-After"})
    return response
