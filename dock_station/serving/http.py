"""HTTP/1.1 over TLS by cheroot, with what a dock needs besides: quick bodies, patience that ends, gentle refusals."""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import structlog
from cheroot import errors, wsgi
from cheroot.makefile import StreamWriter
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.ssl import Adapter
from cryptography import x509

from dock_station.serving.tls import Contexts

log = structlog.get_logger()

HANDSHAKE_SECONDS = 5
HEADER_SECONDS = 10  # for all headers of one request together
FORM_SECONDS = 30  # for the whole body of a request where bodies are short: 64 KiB take a second on any line
SILENCE_SECONDS = 15  # how long a client may send or take nothing in the middle of a request
LINGER_SECONDS = 5  # how long we listen on after a refusal, for a reset would take the answer away from the client
MAX_HEADER_BYTES = 64 << 10
MAX_IGNORED_BODY = 64 << 10  # an unread body is read to its end only up to this, then the connection closes
HEADER_BUFFER = 16 << 10  # one TLS record, RFC 8446 §5.1
# Of one listener at a time. Both of them, and all files that a dock opens, must fit into the 1024 descriptors that a
# process has by default: without one left nothing can be accepted, read or stored any more.
MAX_CONNECTIONS = 384

HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
HEADER_VALUE = re.compile(rb"[^\x00\r\n]*\r\n")  # RFC 9110 §5.5: these three are dangerous wherever they stand

CERTIFICATE = "mirrorcam.certificate"  # in the WSGI environ: the client's x509.Certificate
BODY = "mirrorcam.body"  # in the WSGI environ: a dock_station.bays.uploads.Body


class Reader:
    """The reading side of a connection: lines through a small buffer, bodies straight into the caller's memory."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._socket = connection
        self._buffer = bytearray()
        self.on_bytes: Callable[[], None] | None = None
        self.closed = False
        self.bytes_read = 0
        self.deadline: float | None = None

    def readline(self, size: int | None = -1) -> bytes:
        """Return up to and with the next line's end, `size` bytes at most."""
        limit = MAX_HEADER_BYTES if size is None or size < 0 else size
        while (end := self._buffer.find(b"\n", 0, limit)) < 0 and len(self._buffer) < limit:
            piece = self._received(HEADER_BUFFER)
            if not piece:
                break
            self._buffer += piece
        return self._taken(limit if end < 0 else end + 1)

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer only at the connection's end."""
        wanted = 0 if size is None or size < 0 else size
        while len(self._buffer) < wanted:
            piece = self._received(wanted - len(self._buffer))
            if not piece:
                break
            self._buffer += piece
        return self._taken(wanted)

    def readinto(self, target: memoryview) -> int:
        """Put what is here, or comes next, into `target`, and return its size; 0 is the connection's end."""
        if self._buffer:
            piece = self._taken(len(target))
            target[: len(piece)] = piece
            return len(piece)
        size = self._socket.recv_into(target)
        self._count(size)
        return size

    def has_data(self) -> bool:
        """Whether something is here that the operating system does not know of."""
        return bool(self._buffer) or self._socket.pending() > 0

    def close(self) -> None:
        """Forget what was not read."""
        self._buffer.clear()
        self.closed = True

    def _received(self, size: int) -> bytes:
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(min(left, SILENCE_SECONDS))
        piece = self._socket.recv(min(size, HEADER_BUFFER))
        self._count(len(piece))
        return piece

    def _count(self, size: int) -> None:
        self.bytes_read += size
        if size and self.on_bytes:
            self.on_bytes()

    def _taken(self, size: int) -> bytes:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece


class Body:
    """What one request brings, read straight into the reader's memory; what cheroot counts as unread, we count too."""

    def __init__(self, connection: "Connection", counted: Any) -> None:
        self._connection = connection
        self._counted = counted

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` or give the end of the body, 0 after it; raises OSError when the client is gone."""
        wanted = min(len(buffer), self._counted.remaining)
        filled = 0
        while filled < wanted:
            try:
                size = self._connection.rfile.readinto(buffer[filled:wanted])
            except OSError:
                if filled:
                    break
                raise
            if size == 0:
                if filled:
                    break
                raise ConnectionAbortedError("the connection ended before the body")
            filled += size
        self._counted.remaining -= filled
        return filled

    def stop(self) -> None:
        """End a `readinto` that waits in another thread."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RD)


class TlsAdapter(Adapter):
    """Puts TLS on a connection; the handshake comes later, on a worker, so that nobody can hold the door shut."""

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts

    def bind(self, sock: socket.socket) -> socket.socket:
        """Return the listening socket as it is: TLS begins with each connection."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        """Return the connection with TLS to come."""
        context = self._contexts.current()
        try:
            return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), {}
        except OSError as error:
            raise errors.FatalSSLAlert(*error.args) from error

    def get_environ(self) -> dict[str, Any]:
        """Return what is known of every connection before its handshake: nothing."""
        return {}

    def makefile(self, sock: ssl.SSLSocket, mode: str = "r", bufsize: int = -1) -> Any:
        """Return the connection's reading or writing side."""
        return Reader(sock) if "r" in mode else StreamWriter(sock, mode, bufsize)


class StrictHeaderReader(HeaderReader):
    """Reads headers as RFC 9112 §5 wants them, and refuses what two readers could understand in two ways.

    Folded lines, spaces before a colon, a carriage return inside a line, a length that is no number or there twice, and
    a body with two lengths are errors. Headers with an underscore are left out: in a WSGI environ they look like those
    with a hyphen.
    """

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
        """Add the headers to `hdict`; raises ValueError."""
        headers: dict[bytes, bytes] = {} if hdict is None else hdict
        while (line := rfile.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
                raise ValueError("A header is not one.")
            if b"_" not in name:
                name, value = name.title(), value.strip()
                headers[name] = b", ".join((headers[name], value)) if name in headers else value
        if not headers.get(b"Content-Length", b"0").isdigit():
            raise ValueError("Content-Length is not a number.")
        if b"Content-Length" in headers and b"Transfer-Encoding" in headers:
            raise ValueError("There are two lengths.")
        return headers


class Request(HTTPRequest):
    """One request, whose headers must come in time, and whose body need not be read to its end."""

    header_reader = StrictHeaderReader()

    def parse_request(self) -> None:
        """Read request line and headers."""
        self.conn.rfile.deadline = time.monotonic() + HEADER_SECONDS
        try:
            super().parse_request()
        finally:
            bodies_are_short = self.server.max_request_body_size > 0
            self.conn.rfile.deadline = time.monotonic() + FORM_SECONDS if bodies_are_short else None
            self.conn.socket.settimeout(SILENCE_SECONDS)

    def simple_response(self, status: int | str, msg: str = "") -> None:
        """Refuse what is no request, or too long for one; who is still sending it is to hear that all the same."""
        if not str(status).startswith("408"):  # whoever was too slow is not waited for once more
            self.conn.lingers = True
        super().simple_response(status, msg)

    def send_headers(self) -> None:
        """Send the response's headers; an unread body of any size is not worth reading."""
        if self.chunked_read or getattr(self.rfile, "remaining", 0) > MAX_IGNORED_BODY:
            self.close_connection = True
            self.conn.lingers = True
        self.conn.socket.settimeout(SILENCE_SECONDS)  # the time of the body is no limit for the answer
        super().send_headers()


class Connection(HTTPConnection):
    """One client's connection: first its TLS handshake, then its requests."""

    RequestHandlerClass = Request

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.certificate: x509.Certificate | None = None
        self.accepted = False  # whether the selector has it: it gets a worker once it has something to say
        self.lingers = False
        self._shaken = False
        self.rfile.on_bytes = self.server.note_work

    def communicate(self) -> bool:
        """Do the next thing on this connection, and return whether it stays open."""
        try:
            if self._shaken:
                return bool(super().communicate())  # type: ignore[no-untyped-call]
            self._shaken = self._handshake()
            return self._shaken
        finally:
            self.server.note_work()

    def close(self) -> None:
        """Close, after the client has had the time to read our last word."""
        try:
            if self.lingers:
                self._drain()
            super().close()
            with contextlib.suppress(OSError, ValueError):
                self.wfile.close()  # what could not be sent would be complained of when it is forgotten (Python 3.13)
        finally:
            self.server.open_connections.discard(self)

    def _handshake(self) -> bool:
        try:
            self.socket.settimeout(HANDSHAKE_SECONDS)
            self.socket.do_handshake()
            self.socket.settimeout(SILENCE_SECONDS)
            shown = self.socket.getpeercert(binary_form=True)
            self.certificate = x509.load_der_x509_certificate(shown) if shown else None
        except ssl.SSLCertVerificationError as error:
            log.warning("tls_refused", address=self.remote_addr, reason=error.verify_message)
            self.server.on_refused(self.remote_addr)
            self.lingers = True
            return False
        except (OSError, ValueError) as error:
            log.info("tls_failed", address=self.remote_addr, reason=str(error))
            self.lingers = isinstance(error, ssl.SSLError)
            return False
        return True

    def _drain(self) -> None:
        deadline = time.monotonic() + LINGER_SECONDS
        ignored = bytearray(HEADER_BUFFER)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv_into(ignored):
                    break


class Gateway(wsgi.Gateway_10):
    """Hands a request to the WSGI application, with who sent it and its body."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        """Return the WSGI environ."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ["wsgi.url_scheme"] = "https"
        environ[CERTIFICATE] = self.req.conn.certificate
        if not self.req.chunked_read:
            environ[BODY] = Body(self.req.conn, self.req.rfile)
        return environ

    def write(self, chunk: bytes) -> None:
        """Send a piece of the answer; a worker that sends a long one piece by piece does not hang."""
        super().write(chunk)
        self.req.server.note_work()


class Server(wsgi.Server):
    """A cheroot server of which a client that connects and says nothing takes no worker.

    It never has more than MAX_CONNECTIONS open; `max_body` 0 is for uploads, of any size and as long as they take.
    `on_refused` is told the address of whoever showed a certificate that is not accepted.
    """

    ConnectionClass = Connection
    keep_alive_conn_limit = 256
    max_request_header_size = MAX_HEADER_BYTES

    def __init__(
        self,
        *,
        address: str,
        port: int,
        app: Any,
        contexts: Contexts,
        threads: int,
        max_body: int,
        on_refused: Callable[[str], None] = lambda _address: None,
    ) -> None:
        super().__init__(
            (address, port), app, numthreads=threads, server_name="mirrorcam", request_queue_size=128,
            timeout=SILENCE_SECONDS,
        )  # fmt: skip
        self.gateway = Gateway
        self.ssl_adapter = TlsAdapter(contexts)
        self.max_request_body_size = max_body
        self.open_connections: set[Connection] = set()
        self.on_refused = on_refused
        self.works = 0  # grows with whatever a worker gets done; two at once may count as one

    def note_work(self) -> None:
        """Count that a worker has got something done."""
        self.works += 1

    def process_conn(self, conn: Any) -> None:
        """Give a connection that has something to say to a worker; a new one has yet to say something."""
        if conn.accepted:
            super().process_conn(conn)
        elif len(self.open_connections) >= MAX_CONNECTIONS:
            conn.close()
        else:
            conn.accepted = True
            self.open_connections.add(conn)
            self.put_conn(conn)

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:  # noqa: FBT001
        """Log what cheroot has to say; signature as cheroot calls it."""
        log.log(level, "http_server", message=msg, exc_info=traceback)
