"""How the unit calls the dock: TLS 1.3 with its own certificate, and nobody may answer but a dock of its authority."""

import _ssl
import ctypes
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509

from appliance.settings import UnitFolder
from evidence.certificates import Authority, Role
from evidence.errors import EnvironmentalError

CHACHA20 = "TLS_CHACHA20_POLY1305_SHA256"  # RFC 8446 §B.4
CPUINFO = Path("/proc/cpuinfo")

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, openssl/x509_vfy.h


class TlsFilesError(EnvironmentalError):
    """The files that TLS needs cannot be used."""

    def __init__(self, folder: UnitFolder, reason: str) -> None:
        super().__init__(
            f"This unit's key and certificates in {folder.path} cannot be used ({reason}); have IT enrol it again."
        )


class DockContext(ssl.SSLContext):
    """What a connection to the dock must be; before a byte is sent on it, the dock has shown who it is.

    It must hold a certificate that the unit's own authority gave to a dock of the name that is called, and that is not
    on the newest list of revoked ones which the unit has seen. When the certificate is valid is left to the caller,
    in `certificate`: a unit whose clock is wrong by years finds nobody's certificate valid, and would never get the
    time again.
    """

    def __new__(  # noqa: D102 – see __init__
        cls, folder: UnitFolder, authority: Authority, *, is_enrolled: bool = True
    ) -> "DockContext":
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, folder: UnitFolder, authority: Authority, *, is_enrolled: bool = True) -> None:
        """Read key and certificates, the unit's own if it is enrolled; raises TlsFilesError."""
        self._authority = authority
        self.certificate: x509.Certificate | None = None
        self.minimum_version = ssl.TLSVersion.TLSv1_3
        self.hostname_checks_common_name = False
        self.verify_flags |= _NO_CHECK_TIME
        self.set_alpn_protocols(["http/1.1"])
        try:
            self.load_verify_locations(folder.authority_file)
            if is_enrolled:
                self.load_cert_chain(folder.certificate_file, folder.key_file)
        except OSError as error:  # ssl.SSLError is one
            raise TlsFilesError(folder, error.strerror or str(error)) from error

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Shake hands; raises CertificateError where it is no dock that answers, or one that was revoked."""
        connection = super().wrap_socket(*arguments, **options)
        try:
            self.certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
            self._authority.check(self.certificate, Role.DOCK, self.certificate.not_valid_before_utc)
        except BaseException:
            connection.close()
            raise
        return connection


def context_for(
    folder: UnitFolder, authority: Authority, *, is_enrolled: bool = True, cpuinfo: Path = CPUINFO
) -> DockContext:
    """Return how this unit calls its dock, with the suite that its processor is quick at; raises TlsFilesError."""
    context = DockContext(folder, authority, is_enrolled=is_enrolled)
    if not has_aes_instructions(cpuinfo):
        offer_chacha20_alone(context)
    return context


def has_aes_instructions(cpuinfo: Path = CPUINFO) -> bool:
    """Tell whether the kernel says that this processor computes AES by itself (a Pi 5 does, a Pi 3, 4 or Zero not)."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return True  # nothing is known, so nothing is changed
    named = (line.partition(":") for line in lines)
    # "flags" on x86, "Features" on ARM: arch/x86/kernel/cpu/proc.c, arch/arm64/kernel/cpuinfo.c
    return any("aes" in value.split() for name, _, value in named if name.strip() in ("flags", "Features"))


def offer_chacha20_alone(context: ssl.SSLContext) -> None:
    """Offer one suite: servers in Python choose AES wherever it is offered, 4.5 times slower on such a board.

    Python names TLS 1.3 suites from 3.15 on. Before, OpenSSL's own function is called, on the SSL_CTX that is the first
    field of CPython's PySSLContext (Modules/_ssl.c). Where Python hides its OpenSSL all suites stay: slow, and as safe.
    """
    if hasattr(context, "set_ciphersuites"):
        context.set_ciphersuites(CHACHA20)
        return
    try:
        set_ciphersuites = ctypes.CDLL(_ssl.__file__).SSL_CTX_set_ciphersuites
    except (AttributeError, OSError):
        return
    set_ciphersuites.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    set_ciphersuites(ctypes.c_void_p.from_address(id(context) + object.__basicsize__), CHACHA20.encode())
