"""The docking protocol, spoken by the unit: one method for each request, one sentence for each way it fails."""

import base64
import re
import socket
import ssl
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpcore
import httpx
import msgspec
from cryptography import x509

from appliance.docking.tls import DockContext
from evidence.certificates import CertificateError
from evidence.docking import (
    BUNDLE_PATH,
    CLIP_ID_METADATA,
    GREETING_PATH,
    OUTCOME_PATH,
    SEAL_PATH,
    TUS_VERSION,
    UPDATE_PATH,
    UPLOADS_PATH,
    Greeting,
    Refusal,
    SealRequest,
    UpdateOffer,
    UpdateOutcome,
)
from evidence.errors import EnvironmentalError, MirrorcamError
from evidence.signature import Signed
from evidence.strict import MAX_SHOWN, SchemaError, read_json

Model = TypeVar("Model", bound=msgspec.Struct)

_BLOCK = 1 << 18  # of a bundle, taken at once
MAX_ANSWER = 1 << 20  # a welcome holds a policy and a list of revoked certificates; a longer answer is none of ours

# Seconds. A dock that was called answers at once, but for what its disk has to do: a seal reads the whole clip back.
_PATIENCE = httpx.Timeout(connect=5, read=30, write=15, pool=5)
_PATIENCE_FOR_LIFE = httpx.Timeout(2)
_PATIENCE_FOR_SEAL = httpx.Timeout(connect=5, read=600, write=15, pool=5)

# A pulled cable gives no error by itself: what was sent and not acknowledged for ten seconds ends the connection, and
# a silent one is asked after five seconds whether it is still there. tcp(7)
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000),
)
_UPLOAD_PATH = re.compile(re.escape(UPLOADS_PATH) + r"/[A-Za-z0-9_-]{1,128}")
_ABSENT = (httpx.codes.NOT_FOUND, httpx.codes.GONE)


class DockUnreachableError(EnvironmentalError):
    """The dock does not answer, or the connection to it broke."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"The dock {url} was not reached ({reason}): check that the unit sits right and the dock runs. "
            "Nothing is lost, and what was sent need not be sent again."
        )


class DockRefusedError(MirrorcamError):
    """The dock answered that it does not want to; `code` is one of evidence.docking.RefusalCode, or unknown to us."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class DockAnswerError(MirrorcamError):
    """The dock's answer is not one of the protocol."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The dock's answer is not one that a unit understands ({reason}): have IT look at the dock.")


class DockClient:
    """One connection to the dock, kept for all requests of one docking.

    Every method raises DockUnreachableError, DockRefusedError, DockAnswerError or CertificateError; whichever it is,
    the dock may or may not have done what it was asked to.
    """

    def __init__(self, url: str, context: DockContext, software: str, cable: Path | None = None) -> None:
        """Be ready to call: over TCP, or where `cable` names the forwarder's socket through that, with TLS inside.

        The forwarder ends the connection when the cable goes, and watches over what TCP does not tell by itself.
        """
        self._url = url
        self._context = context
        self._stream: httpcore.NetworkStream | None = None
        transport = httpx.HTTPTransport(
            verify=context,
            trust_env=False,
            uds=str(cable) if cable else None,
            socket_options=None if cable else _SOCKET_OPTIONS,
        )
        headers = {"User-Agent": software.replace(" ", "/"), "Accept": "*/*", "Accept-Encoding": "identity"}
        # Nothing is taken from the environment: a proxy or another root named there is not for us.
        self._http = httpx.Client(
            base_url=url, transport=transport, trust_env=False, timeout=_PATIENCE, headers=headers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def certificate(self) -> x509.Certificate | None:
        """What the dock has shown in the newest handshake."""
        return self._context.certificate

    @property
    def connection(self) -> socket.socket | None:
        """The socket of the newest one; that it becomes readable between two requests means that it has ended."""
        found = self._stream.get_extra_info("socket") if self._stream else None
        return found if isinstance(found, socket.socket) and found.fileno() >= 0 else None

    def discover(self) -> None:
        """Ask for a sign of life, which is tus' discovery: an authentic dock gives it at once."""
        response = self._ask("OPTIONS", UPLOADS_PATH, headers={}, timeout=_PATIENCE_FOR_LIFE)
        if TUS_VERSION not in response.headers.get("Tus-Version", "").split(","):
            raise DockAnswerError("it speaks another version of tus")

    def greet(self, greeting: Greeting) -> Signed:
        """Say how the unit is, and return the dock's Welcome, whose signature nobody has checked yet."""
        content = msgspec.json.encode(greeting)
        return self._signed(self._post_json(GREETING_PATH, content, _PATIENCE), "welcome")

    def create(self, clip_id: str, size: int) -> str:
        """Begin an upload of `size` bytes, and return where it is to go."""
        named = base64.b64encode(clip_id.encode("ascii")).decode("ascii")
        headers = _tus({"Upload-Length": str(size), "Upload-Metadata": f"{CLIP_ID_METADATA} {named}"})
        response = self._ask("POST", UPLOADS_PATH, headers=headers)
        path = str(response.headers.get("Location", ""))
        if not _UPLOAD_PATH.fullmatch(path):
            raise DockAnswerError("it names no place for the upload")
        return path

    def offset(self, path: str, size: int) -> int | None:
        """Return from which byte on an upload of `size` bytes goes on, None where the dock has no such upload."""
        response = self._send("HEAD", path, headers=_tus({}))
        if response.status_code in _ABSENT:
            return None
        _raise_refusal(response)
        if response.headers.get("Upload-Length") != str(size):
            return None
        return _offset(response, at_most=size)

    def append(self, path: str, pieces: Iterable[bytes], *, start: int, length: int) -> int:
        """Send `length` bytes of the upload, which begin at byte `start`, and return up to where the dock has it."""
        headers = _tus(
            {
                "Upload-Offset": str(start),
                "Content-Length": str(length),
                "Content-Type": "application/offset+octet-stream",
            }
        )
        response = self._ask("PATCH", path, headers=headers, content=pieces)
        offset = _offset(response, at_most=start + length)
        if offset <= start:
            raise DockAnswerError(f"it acknowledges {offset} bytes after those from {start} on")
        return offset

    def seal(self, clip_id: str, request: SealRequest) -> Signed:
        """Close an upload with its manifest, and return the dock's Receipt, which nobody has checked yet."""
        content = msgspec.json.encode(request)
        return self._signed(self._post_json(SEAL_PATH.format(clip_id=clip_id), content, _PATIENCE_FOR_SEAL), "receipt")

    def update_offer(self) -> UpdateOffer | None:
        """Return the update that the dock hands on, None where it has none; nothing of it is to be trusted."""
        response = self._ask("GET", UPDATE_PATH, headers={})
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            return read_json(response.content, UpdateOffer, "answer with an offer")
        except SchemaError as error:
            raise DockAnswerError(error.reason) from error

    def bundle(self, sha256: str, start: int) -> Generator[bytes]:
        """Yield the bytes of the bundle that is offered, from byte `start` on; closing it ends the connection."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        path = BUNDLE_PATH.format(sha256=sha256)
        with self._explaining(), self._http.stream("GET", path, headers=headers) as response:
            if not response.is_success:
                body = b"".join(_at_most(response.iter_raw(), MAX_ANSWER))
                _raise_refusal(httpx.Response(response.status_code, content=body))
            if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise DockAnswerError(f"it does not go on with the update at byte {start}")
            if "Content-Encoding" in response.headers:
                raise DockAnswerError("it is packed, which nobody asked for")
            yield from response.iter_raw(_BLOCK)

    def tell_outcome(self, outcome: UpdateOutcome) -> None:
        """Tell what became of an update."""
        self._post_json(OUTCOME_PATH, msgspec.json.encode(outcome))

    def _post_json(self, path: str, content: bytes, patience: httpx.Timeout = _PATIENCE) -> httpx.Response:
        return self._ask("POST", path, headers={"Content-Type": "application/json"}, content=content, timeout=patience)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        content: bytes | Iterable[bytes] | None = None,
        timeout: httpx.Timeout = _PATIENCE,
    ) -> httpx.Response:
        response = self._send(method, path, headers=headers, content=content, timeout=timeout)
        _raise_refusal(response)
        return response

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        content: bytes | Iterable[bytes] | None = None,
        timeout: httpx.Timeout = _PATIENCE,
    ) -> httpx.Response:
        exchange = self._http.stream(method, path, headers=headers, content=content, timeout=timeout)
        with self._explaining(), exchange as response:
            self._stream = response.extensions.get("network_stream")
            if "Content-Encoding" in response.headers:  # httpx would unpack it, a thousand bytes for each one
                raise DockAnswerError("it is packed, which nobody asked for")
            body = b"".join(_at_most(response.iter_raw(), MAX_ANSWER))
            return httpx.Response(response.status_code, headers=response.headers, content=body)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Raise what a failed exchange means instead of its error.

        httpx works out where any answer leads to, though nobody follows it: what is no address is httpx.InvalidURL to
        it, or for a port or a name a ValueError.
        """
        try:
            yield
        except httpx.HTTPError as error:
            raise self._explained(error) from error
        except (httpx.InvalidURL, ValueError) as error:
            raise DockAnswerError("it leads to no place at all") from error

    def _explained(self, error: httpx.HTTPError) -> MirrorcamError:
        """Return what a failed exchange means; the reason behind a failed handshake is in what it was raised from."""
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return _unlike(f"the dock {self._url}", cause)
            if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
                alert = (cause.reason or "").lower().rpartition("alert_")[2].replace("_", " ")
                return CertificateError("this unit", f"the dock says '{alert}'")
        if isinstance(error, httpx.TimeoutException):
            return DockUnreachableError(self._url, "it did not answer in time")
        if isinstance(error, httpx.ConnectError) and not any(isinstance(each, ssl.SSLError) for each in _causes(error)):
            return DockUnreachableError(self._url, _system_reason(error) or "no connection")
        return DockUnreachableError(self._url, "the connection broke off")

    @staticmethod
    def _signed(response: httpx.Response, document: str) -> Signed:
        try:
            return read_json(response.content, Signed, f"answer with a {document}")
        except SchemaError as error:
            raise DockAnswerError(error.reason) from error


def _tus(headers: dict[str, str]) -> dict[str, str]:
    return {"Tus-Resumable": TUS_VERSION, **headers}


def _at_most(pieces: Iterable[bytes], limit: int) -> Iterable[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise DockAnswerError(f"it is longer than {limit} bytes")
        yield piece


def _offset(response: httpx.Response, *, at_most: int) -> int:
    text = response.headers.get("Upload-Offset", "")
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= at_most):
        raise DockAnswerError("it does not say how much of the clip it has")
    return int(text)


def _raise_refusal(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        refusal = msgspec.json.decode(response.content, type=Refusal)
    except msgspec.MsgspecError:
        sentence = f"The dock refused with HTTP status {response.status_code} and no reason: try again, or tell IT."
        raise DockRefusedError("", sentence) from None
    raise DockRefusedError(refusal.code, _printable(refusal.message))


def _printable(text: str) -> str:
    """Return what came from the dock so that a terminal shows it and does not obey it."""
    shown = "".join(character for character in text if character.isprintable())
    return shown if len(shown) <= 2 * MAX_SHOWN else f"{shown[: 2 * MAX_SHOWN]}…"


def _causes(error: BaseException) -> Iterable[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _system_reason(error: BaseException) -> str | None:
    return next((cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror), None)


def _unlike(dock: str, error: ssl.SSLCertVerificationError) -> CertificateError:
    # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH, openssl/x509_vfy.h
    if error.verify_code in (62, 64):
        return CertificateError(dock, "it is for another host")
    # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, …SELF_SIGNED_CERT_IN_CHAIN, …UNABLE_TO_GET_ISSUER_CERT_LOCALLY and so on
    if error.verify_code in (2, 18, 19, 20, 21):
        remedy = "put the unit on a dock of its own town, or have IT write its card anew"
        return CertificateError(dock, "another authority issued it", remedy)
    return CertificateError(dock, error.verify_message)
