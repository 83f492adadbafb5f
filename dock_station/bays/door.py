"""The bays' HTTP door: who may come in, greeting, tus uploads and sealing, and each refusal with its status."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
import structlog
from cryptography import x509
from flask import Flask, Response, g, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from dock_station.bays import tus
from dock_station.bays.intake import Intake
from dock_station.bays.reception import ForeignError, Reception
from dock_station.bays.refused import RefusedCertificates
from dock_station.bays.turns import UploadBusyError
from dock_station.bays.uploads import (
    AlreadyStoredError,
    Body,
    ChecksumMismatchError,
    NotUploadedError,
    OffsetMismatchError,
    UploadCutError,
    UploadGoneError,
    Uploads,
    UploadTooLongError,
    UploadUnknownError,
)
from dock_station.dock import Dock
from dock_station.serving.http import BODY, CERTIFICATE
from dock_station.updates import outcomes
from dock_station.updates.handing_over import BundlesBusyError, Counter, NothingLeftError
from dock_station.updates.offers import NotOfferedError, offer_in
from dock_station.vault import NoRoomError
from evidence import manifest as manifests
from evidence.certificates import CertificateError, Role, holder_of
from evidence.chain import BrokenChainError, GapError, ReplayedError
from evidence.docking import (
    BUNDLE_PATH,
    GREETING_PATH,
    OUTCOME_PATH,
    SEAL_PATH,
    TUS_VERSION,
    UPDATE_PATH,
    UPLOADS_PATH,
    Greeting,
    Refusal,
    RefusalCode,
    SealRequest,
    UpdateOutcome,
)
from evidence.errors import MirrorcamError
from evidence.manifest import ClipDiffersError
from evidence.signature import SignatureError
from evidence.strict import SchemaError, read_json

log = structlog.get_logger()

Model = TypeVar("Model")

MAX_GREETING = 64 << 10
MAX_OUTCOME = 8 << 10
MAX_SEAL_REQUEST = 2 * manifests.MAX_BYTES  # a manifest in Base64, its signature, and the JSON around them

# With which HTTP status, and with which code for programs, each error goes out.
REFUSALS: dict[type[MirrorcamError], tuple[str, RefusalCode]] = {
    CertificateError: ("403 Forbidden", RefusalCode.CERTIFICATE),
    ForeignError: ("403 Forbidden", RefusalCode.FOREIGN),
    SchemaError: ("422 Unprocessable Content", RefusalCode.SCHEMA),
    SignatureError: ("422 Unprocessable Content", RefusalCode.SIGNATURE),
    ClipDiffersError: ("422 Unprocessable Content", RefusalCode.DIFFERS),
    ReplayedError: ("409 Conflict", RefusalCode.REPLAYED),
    GapError: ("409 Conflict", RefusalCode.GAP),
    BrokenChainError: ("409 Conflict", RefusalCode.BROKEN_CHAIN),
    AlreadyStoredError: ("409 Conflict", RefusalCode.STORED),
    NotUploadedError: ("409 Conflict", RefusalCode.NOT_UPLOADED),
    OffsetMismatchError: ("409 Conflict", RefusalCode.OFFSET),
    ChecksumMismatchError: ("460 Checksum Mismatch", RefusalCode.CHECKSUM),
    UploadTooLongError: ("413 Content Too Large", RefusalCode.TOO_LONG),
    UploadUnknownError: ("404 Not Found", RefusalCode.UNKNOWN),
    UploadGoneError: ("410 Gone", RefusalCode.GONE),
    UploadBusyError: ("423 Locked", RefusalCode.BUSY),
    NotOfferedError: ("404 Not Found", RefusalCode.UNKNOWN),
    NothingLeftError: ("416 Range Not Satisfiable", RefusalCode.OFFSET),
    BundlesBusyError: ("503 Service Unavailable", RefusalCode.BUSY),
    UploadCutError: ("400 Bad Request", RefusalCode.REQUEST),
    NoRoomError: ("507 Insufficient Storage", RefusalCode.NO_ROOM),
    tus.TusVersionError: ("412 Precondition Failed", RefusalCode.TUS_VERSION),
    tus.ContentTypeError: ("415 Unsupported Media Type", RefusalCode.CONTENT_TYPE),
    tus.LengthRequiredError: ("411 Length Required", RefusalCode.REQUEST),
    tus.BadRequestError: ("400 Bad Request", RefusalCode.REQUEST),
}
NOT_IN_ORDER = ("503 Service Unavailable", RefusalCode.DOCK)


def create_app(dock: Dock, refused: RefusedCertificates) -> Flask:
    """Return the WSGI application of the bays listener."""
    app = Flask("mirrorcam-bays", static_folder=None)
    uploads = Uploads(catalogue=dock.catalogue, vault=dock.vault, clock=dock.clock)
    intake, reception, counter = Intake(dock, uploads), Reception(dock), Counter(dock.folder.updates)

    @app.before_request
    def know_the_unit() -> None:
        certificate = cast(x509.Certificate | None, request.environ.get(CERTIFICATE))
        if certificate is None:
            raise CertificateError("this client", "none was shown")
        g.certificate = certificate
        try:
            g.unit = dock.authority().check(certificate, Role.UNIT, dock.clock())
        except CertificateError:
            refused.note(request.remote_addr or "")
            raise

    @app.post(GREETING_PATH)
    def greet() -> Response:
        greeting = _read(Greeting, MAX_GREETING, "greeting")
        return _json(200, msgspec.json.encode(reception.greet(g.unit, greeting, g.certificate)))

    @app.post(SEAL_PATH.format(clip_id="<uuid:clip_id>"))
    def seal(clip_id: UUID) -> Response:
        content = _read(SealRequest, MAX_SEAL_REQUEST, "seal request")
        return _json(200, msgspec.json.encode(intake.seal(g.certificate, str(clip_id), content)))

    @app.get(UPDATE_PATH)
    def offer() -> Response:
        offered = offer_in(dock.folder.updates)
        return Response(status=204) if offered is None else _json(200, msgspec.json.encode(offered))

    @app.get(BUNDLE_PATH.format(sha256="<sha256>"))
    def bundle(sha256: str) -> Response:
        bytes_of_it = counter.hand_over(g.unit.name, sha256, request.headers.get("Range"))
        return Response(bytes_of_it, bytes_of_it.status, bytes_of_it.headers, content_type="application/octet-stream")

    @app.post(OUTCOME_PATH)
    def learn_outcome() -> Response:
        outcomes.note(dock, g.unit.name, _read(UpdateOutcome, MAX_OUTCOME, "update outcome"))
        return Response(status=204)

    app.register_blueprint(tus.TusRoutes(uploads).blueprint())
    app.register_error_handler(MirrorcamError, _refuse)
    app.register_error_handler(HTTPException, _refuse_http)
    app.register_error_handler(OperationalError, _refuse_for_the_catalogue)
    app.register_error_handler(Exception, _refuse_unforeseen)
    app.after_request(_say_tus)
    app.wsgi_app = _method_override(app.wsgi_app)  # type: ignore[method-assign, assignment]
    return app


def _read(model: type[Model], limit: int, document: str) -> Model:
    length = request.content_length
    if length is None:
        raise tus.LengthRequiredError
    if length > limit:
        raise UploadTooLongError(length, limit)
    content = memoryview(bytearray(length))
    try:
        size = cast(Body, request.environ[BODY]).readinto(content)
    except OSError as error:
        raise tus.BadRequestError(f"its {document} did not come") from error
    return read_json(content[:size].tobytes(), model, document)


def _refuse(error: MirrorcamError) -> Response:
    status, code = next((REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS), NOT_IN_ORDER)
    unit = holder_of(g.certificate).name if "unit" in g else None
    log.warning("request_refused", code=code, status=status[:3], unit_id=unit, method=request.method, path=request.path)
    return _json(status, _refusal(code, str(error)))


def _refuse_http(error: HTTPException) -> Response:
    code = RefusalCode.UNKNOWN if error.code == 404 else RefusalCode.REQUEST
    log.warning("request_refused", code=code, status=error.code, method=request.method, path=request.path)
    return _json(error.code or 500, _refusal(code, f"The request is refused: {error.name}."))


def _refuse_for_the_catalogue(error: OperationalError) -> Response:
    log.error("catalogue_failed", method=request.method, path=request.path, reason=str(error.orig))
    sentence = "The dock cannot reach or write its catalogue just now; try again, and have IT look at its disk."
    return _json(NOT_IN_ORDER[0], _refusal(NOT_IN_ORDER[1], sentence))


def _refuse_unforeseen(error: Exception) -> Response:
    log.error("request_failed", method=request.method, path=request.path, exc_info=error)
    return _json(500, _refusal(RefusalCode.DOCK, "The dock met an error of its own; try again, and tell IT to look."))


def _refusal(code: RefusalCode, message: str) -> bytes:
    return msgspec.json.encode(Refusal(code=code.value, message=message))


def _json(status: int | str, content: bytes) -> Response:
    return Response(content, status=status, content_type="application/json")


def _say_tus(response: Response) -> Response:
    if request.path.startswith(UPLOADS_PATH) and request.method != "OPTIONS":
        response.headers["Tus-Resumable"] = TUS_VERSION
    if response.status_code == 412:
        response.headers["Tus-Version"] = TUS_VERSION
    return response


WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


def _method_override(app: WsgiApp) -> WsgiApp:
    """Let a client name the method in a header, as tus asks of servers for clients that cannot send PATCH."""

    def overriding(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE")
        return app({**environ, "REQUEST_METHOD": method} if method else environ, start_response)

    return overriding
