"""What went wrong with a request, in a class for programs and in words for people: decided here and nowhere else."""

import errno
import ssl
from http import HTTPStatus
from socket import gaierror

import aiohttp

from delivery.destinations.journey import Journey
from delivery.destinations.session import BlockedAddressError
from delivery.domain.errors import Unprocessable
from delivery.domain.model import ErrorClass, Failure

#: What this machine has run out of; no fault of the receiver.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
_CLOSED = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_OTHER_END = (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError, *_CLOSED)

#: By OpenSSL's verification code (X509_V_ERR_…).
_CERTIFICATE_FAULTS = {
    9: "is not valid yet; check the clock of the receiver and the dates of its certificate",
    10: "has expired; renew it",
    18: "is self-signed; use one of a public authority",
    19: "ends in an authority that is not trusted; use one of a public authority",
    20: "comes from an authority that is not trusted, or the receiver does not send the intermediate certificates",
    21: "cannot be verified; the receiver has to send the intermediate certificates",
    62: "is for another host name; use one for the host of the URL",
    64: "is for another address; use one for the host of the URL",
}
_OLD_TLS = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "WRONG_SSL_VERSION", "NO_PROTOCOLS_AVAILABLE")
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "BAD_RECORD_TYPE")

_STATUS_ADVICE = {
    401: "It wants other credentials, or it rejects the signature: compare the signing secret",
    403: "It rejects the signature or the sender: compare the signing secret and its firewall rules",
    404: "Correct the path of the URL",
    405: "The URL has to accept POST",
    408: "It gave up waiting for the request",
    410: "It wants no further events",
    413: "It has to accept bodies of at least 256 KiB",
    429: "It asks for fewer requests; set a rate limit for the endpoint",
}
_CLASS_ADVICE: dict[ErrorClass, str] = {
    "http_3xx": "Redirects are not followed; register the final URL",
    "http_4xx": "It does not accept this request; its own log should say why",
    "http_5xx": "It has a fault of its own; its own log should say why",
    "protocol_error": "It has to answer with a status from 200 to 299",
}
_CLASSES: dict[int, ErrorClass] = {3: "http_3xx", 4: "http_4xx", 5: "http_5xx"}


def judge_status(status: int) -> Failure | None:
    """None for a success: 2xx and nothing else.

    >>> judge_status(204)
    >>> judge_status(302).message
    'The receiver answered 302 Found. Redirects are not followed; register the final URL'
    """
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    error = _CLASSES.get(status // 100, "protocol_error")
    try:
        phrase = " " + HTTPStatus(status).phrase
    except ValueError:  # a status that no specification knows
        phrase = ""
    advice = _STATUS_ADVICE.get(status) or _CLASS_ADVICE[error]
    return Failure(error, f"The receiver answered {status}{phrase}. {advice}")


def classify(error: Exception, journey: Journey, patience: float) -> Failure:  # noqa: PLR0911 - one table on one page
    """Say why there is no answer. ``patience`` is the time limit of the attempt in seconds."""
    cause = _root(error)
    whom = f" ({journey.address})" if journey.address else ""
    match cause:
        case BlockedAddressError() | Unprocessable():
            return Failure("blocked_address", str(cause))
        case gaierror() | UnicodeError() if journey.sent is None:
            why = _one_line(getattr(cause, "strerror", None) or cause)
            return Failure("dns_error", f"The host name has no address: {why}. Correct the URL or its DNS records")
        case aiohttp.ClientHttpProxyError():
            return Failure("connect_error", f"The egress proxy refused to connect: status {cause.status}")
        case aiohttp.ClientResponseError():
            return Failure("protocol_error", f"The answer is not valid HTTP: {_one_line(cause.message)}")
        case ssl.SSLCertVerificationError():
            fault = _CERTIFICATE_FAULTS.get(cause.verify_code, f"is not valid: {cause.verify_message}")
            return Failure("tls_error", f"The certificate of the receiver{whom} {fault}")
        case _ if isinstance(cause, _OTHER_END):
            return Failure("connection_closed", f"The receiver{whom} closed the connection while {journey.step}")
        case ssl.SSLError():
            return Failure("tls_error", f"TLS with the receiver{whom} failed: {_tls_words(cause)}")
        case TimeoutError():
            return Failure("timeout", f"The {patience:g} seconds of an attempt ran out while {journey.step}{whom}")
        case OSError():
            return _unconnected(
                cause, "egress proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else f"receiver{whom}"
            )
        case _:
            return Failure("internal_error", f"A fault of this server: {type(cause).__name__}: {_one_line(cause)}")


def _root(error: BaseException) -> BaseException:
    """Unwrap what aiohttp wrapped."""
    while isinstance(error, aiohttp.ClientOSError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _unconnected(cause: OSError, whom: str) -> Failure:
    why = _one_line(cause.strerror or cause)
    if cause.errno in _EXHAUSTED:
        return Failure("internal_error", f"This server has no resources for another connection: {why}")
    if isinstance(cause, ConnectionRefusedError):
        return Failure("connect_refused", f"The {whom} refused the connection: nothing listens on its port")
    return Failure("connect_error", f"The {whom} cannot be reached: {why}")


def _tls_words(error: ssl.SSLError) -> str:
    reason = (error.reason or "").upper()
    if any(word in reason for word in _OLD_TLS):
        return "it offers no version from 1.2 on; bring its TLS up to date"
    if any(word in reason for word in _NO_TLS):
        return "it answered with something else; correct the port, or its configuration"
    return f"{_one_line(error.reason or error)}; check the TLS configuration of the receiver"


def _one_line(text: object) -> str:
    """Make whatever the other side said fit for a log: short, printable, one line."""
    words = " ".join(str(text).split())
    return "".join(character if character.isprintable() else "?" for character in words)[:200]
