"""What a page says when it cannot be shown: one clear sentence, and never anything of the machine's inside."""

from http import HTTPStatus

import structlog
from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from dock_station.pages import words
from evidence.errors import EnvironmentalError, MirrorcamError, NotGenuineError

log = structlog.get_logger()

SENTENCES = {
    400: words.BAD_REQUEST,
    403: words.WRONG_RIGHT,
    404: words.NO_SUCH_PAGE,
    405: words.WRONG_METHOD,
    413: words.TOO_LARGE,
    429: words.TOO_MANY,
}
KEPT_HEADERS = frozenset({"Allow", "Retry-After"})  # what a status owes to programs (RFC 9110 §15.5.6, RFC 6585 §4)
OWN_WORDS = frozenset({403, 404})  # statuses that our own code gives with its own sentence


def tell(app: Flask) -> None:
    """Answer every error with its page."""
    app.register_error_handler(MirrorcamError, _foreseen)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def page(status: int, sentence: str) -> tuple[str, int]:
    """Return the page of an error."""
    headline = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    return render_template("error.html", status=status, headline=headline, sentence=sentence), status


def _foreseen(error: MirrorcamError) -> ResponseReturnValue:
    log.warning("page_failed", error=type(error).__name__, path=request.path)
    if isinstance(error, NotGenuineError):
        return page(409, str(error))
    return page(503 if isinstance(error, EnvironmentalError) else 400, str(error))


def _stale_form(_error: CSRFError) -> ResponseReturnValue:
    return page(400, words.STALE_FORM)


def _http(error: HTTPException) -> Response | ResponseReturnValue:
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()
    if error.code in OWN_WORDS and error.description != type(error).description:
        return page(error.code, str(error.description))
    sentence = SENTENCES.get(error.code, words.BAD_REQUEST if error.code < 500 else words.UNFORESEEN)
    kept = {name: value for name, value in error.get_headers() if name in KEPT_HEADERS}
    return *page(error.code, sentence), kept


def _unforeseen(error: Exception) -> ResponseReturnValue:
    log.error("page_failed", method=request.method, path=request.path, exc_info=error)
    return page(500, words.UNFORESEEN)
