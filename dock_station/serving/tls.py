"""How the dock speaks TLS: 1.3 only, with its own certificate, and at the bays with units of its authority only."""

import errno
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from dock_station.settings import DockFolder
from evidence.errors import EnvironmentalError

log = structlog.get_logger()


class TlsFilesError(EnvironmentalError):
    """The files that TLS needs cannot be used."""

    def __init__(self, folder: DockFolder, reason: str) -> None:
        super().__init__(
            f"The TLS key and certificates in {folder.path} cannot be used ({reason}); "
            "set this dock up with 'mirrorcam-provision dock create'."
        )


class TlsSocket(ssl.SSLSocket):
    """A TLS connection whose reading can be ended from another thread while its writing goes on encrypted.

    Once TLS has failed in the middle (a record cut short, an alert) it is a connection that was aborted, as any other.
    """

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 – the base class's name
        """Read as the base class does; raises ConnectionAbortedError."""
        try:
            return super().read(len, buffer)
        except ssl.SSLError as error:
            raise ConnectionAbortedError(errno.ECONNABORTED, error.reason or "TLS failed") from error

    def send(self, data: Any, flags: int = 0) -> int:
        """Send as the base class does; raises ConnectionAbortedError."""
        try:
            return super().send(data, flags)
        except ssl.SSLError as error:
            raise ConnectionAbortedError(errno.ECONNABORTED, error.reason or "TLS failed") from error

    def shutdown(self, how: int) -> None:
        """Shut the connection down; for the reading side alone, TLS stays in place (the base class would drop it)."""
        if how == socket.SHUT_RD:
            socket.socket.shutdown(self, how)
        else:
            super().shutdown(how)


class Contexts:
    """The TLS context of one listener, made anew whenever one of its files has changed.

    Contract: once a new revocation list is in place, no handshake ends by the old one. If the changed files cannot be
    used, that is logged and the last good ones stay in force; the bays check the list once more by themselves.
    """

    def __init__(self, folder: DockFolder, build: Callable[[DockFolder], ssl.SSLContext]) -> None:
        self._folder = folder
        self._build = build
        self._lock = threading.Lock()
        self._stamp = self._stamp_now()
        self._context = self._built()

    def current(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        with self._lock:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._context = self._built()
                    log.info("tls_files_reloaded")
                except TlsFilesError as error:
                    log.error("tls_files_unusable", reason=str(error))  # noqa: TRY400 – the sentence says it all
            return self._context

    def _built(self) -> ssl.SSLContext:
        try:
            return self._build(self._folder)
        except OSError as error:  # ssl.SSLError is one
            raise TlsFilesError(self._folder, error.strerror or str(error)) from error

    def _stamp_now(self) -> tuple[tuple[int, int, int] | None, ...]:
        folder = self._folder
        files = (folder.tls_key_file, folder.tls_certificate_file, folder.authority_file, folder.revocations_file)
        return tuple(_stamp(file) for file in files)


def bays_context(folder: DockFolder) -> ssl.SSLContext:
    """Return the context of the bays: a client shows a certificate of the authority that is not revoked."""
    context = pages_context(folder)
    context.load_verify_locations(folder.authority_file)
    context.load_verify_locations(folder.revocations_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    context.num_tickets = 0  # a resumed session would not be held against the newest list
    return context


def pages_context(folder: DockFolder) -> ssl.SSLContext:
    """Return the context of the pages: no client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder.tls_certificate_file, folder.tls_key_file)
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = TlsSocket
    return context


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
