"""The enrolment door: HTTP for units without a certificate; small requests, few of them, and nothing given away."""

import time
from collections import deque
from collections.abc import Callable

import msgspec
import structlog
from flask import Flask, Response, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from dock_station.bays.cable import bay_of
from dock_station.dock import Dock
from dock_station.enrolment.desk import (
    DeclinedError,
    Desk,
    EnrolmentClosedError,
    EnrolmentFullError,
    RequestChangedError,
    RequestDroppedError,
    RequestUnknownError,
)
from evidence.docking import Refusal
from evidence.enrolment import REQUEST_PATH, REQUESTS_PATH, EnrolmentRefusal, NotARequestError, Request
from evidence.errors import MirrorcamError
from evidence.strict import SchemaError, read_json

log = structlog.get_logger()

MAX_BODY = 8 << 10  # a request with its nonce has less than 4 KiB
BEGUN_A_MINUTE = 30  # fifty units in a morning are one in five minutes; each begins four times a minute at most


class TooOftenError(MirrorcamError):
    """More requests are begun than units can need."""

    def __init__(self) -> None:
        super().__init__("Too many requests came in this minute: see what is plugged in, and wait a minute.")


REFUSALS: dict[type[MirrorcamError], tuple[int, EnrolmentRefusal]] = {
    EnrolmentClosedError: (503, EnrolmentRefusal.CLOSED),
    EnrolmentFullError: (503, EnrolmentRefusal.FULL),
    TooOftenError: (429, EnrolmentRefusal.TOO_OFTEN),
    SchemaError: (422, EnrolmentRefusal.REQUEST),
    NotARequestError: (422, EnrolmentRefusal.REQUEST),
    RequestChangedError: (409, EnrolmentRefusal.CHANGED),
    RequestUnknownError: (404, EnrolmentRefusal.UNKNOWN),
    RequestDroppedError: (410, EnrolmentRefusal.DROPPED),
    DeclinedError: (403, EnrolmentRefusal.DECLINED),
}
NOT_IN_ORDER = (503, EnrolmentRefusal.DOCK)


class Pace:
    """How many requests were begun in the minute that ends now."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._begun: deque[float] = deque(maxlen=BEGUN_A_MINUTE)

    def note(self) -> None:
        """Count one more; raises TooOftenError."""
        now = self._monotonic()
        if len(self._begun) == BEGUN_A_MINUTE and now - self._begun[0] < 60.0:
            raise TooOftenError
        self._begun.append(now)


def create_app(
    dock: Dock,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    find_bay: Callable[[str], str | None] = bay_of,
) -> Flask:
    """Return the WSGI application of the enrolment listener."""
    app = Flask("mirrorcam-enrolment", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    desk, pace = Desk(dock), Pace(monotonic)

    @app.post(REQUESTS_PATH)
    def begin() -> Response:
        pace.note()
        return _json(201, msgspec.json.encode(desk.begin(find_bay(request.remote_addr or ""))))

    path = REQUEST_PATH.format(request_id="<request_id>")

    @app.put(path)
    def submit(request_id: str) -> Response:
        wanted = read_json(request.get_data(), Request, "request to be enrolled")
        return _json(200, msgspec.json.encode(desk.submit(request_id, wanted)))

    @app.get(path)
    def standing(request_id: str) -> Response:
        return _json(200, msgspec.json.encode(desk.standing(request_id)))

    app.register_error_handler(MirrorcamError, _refuse)
    app.register_error_handler(HTTPException, _refuse_http)
    app.register_error_handler(OperationalError, _refuse_for_the_catalogue)
    app.register_error_handler(Exception, _refuse_unforeseen)
    return app


def _refuse(error: MirrorcamError) -> Response:
    status, code = next((REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS), NOT_IN_ORDER)
    log.warning("enrolment_refused", code=code.value, status=status, error=type(error).__name__)
    return _json(status, _refusal(code, str(error)))


def _refuse_http(error: HTTPException) -> Response:
    status = error.code or 500
    log.warning("enrolment_refused", code=EnrolmentRefusal.REQUEST.value, status=status, error=type(error).__name__)
    return _json(status, _refusal(EnrolmentRefusal.REQUEST, f"The request is refused: {error.name}."))


def _refuse_for_the_catalogue(error: OperationalError) -> Response:
    log.error("catalogue_failed", method=request.method, path=request.path, reason=str(error.orig))
    sentence = "The dock cannot reach or write its catalogue just now; try again, and have IT look at its disk."
    return _json(NOT_IN_ORDER[0], _refusal(NOT_IN_ORDER[1], sentence))


def _refuse_unforeseen(error: Exception) -> Response:
    log.error("request_failed", method=request.method, path=request.path, exc_info=error)
    sentence = "The dock met an error of its own; try again, and tell IT to look."
    return _json(500, _refusal(EnrolmentRefusal.DOCK, sentence))


def _refusal(code: EnrolmentRefusal, message: str) -> bytes:
    return msgspec.json.encode(Refusal(code=code.value, message=message))


def _json(status: int, content: bytes) -> Response:
    return Response(content, status=status, content_type="application/json")
