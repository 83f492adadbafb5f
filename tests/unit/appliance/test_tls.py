"""How the unit calls: what is in its first message to the dock, and what it shakes hands with."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.docking.tls import CHACHA20, DockContext, TlsFilesError, context_for, has_aes_instructions
from appliance.settings import UnitFolder
from evidence.certificates import CertificateError, load_certificate
from tests.dock import RunningDock, running_dock
from tests.pki import Identity
from tests.worn import enrol

# Beginnings of /proc/cpuinfo of real machines.
PI_4 = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
PI_5 = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp\n"
OLD_PC = "processor\t: 0\nmodel name\t: Celeron with aes in its name\nflags\t\t: fpu vme de pse tsc msr\n"
PC = "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu vme de pse tsc msr aes xsave avx\n"

# IANA's numbers of the TLS 1.3 suites, RFC 8446 §B.4
SUITES = {0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: CHACHA20}
RENEGOTIATION_SIGNAL = 0x00FF  # RFC 5746 §3.3: no suite


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


@pytest.fixture
def folder(tmp_path: Path, dock: RunningDock) -> UnitFolder:
    return enrol(tmp_path / "unit", dock.pki, f"https://localhost:{dock.port}")


def context_on(folder: UnitFolder, cpuinfo: str) -> DockContext:
    file = folder.path / "cpuinfo"
    file.write_text(cpuinfo)
    return context_for(folder, folder.authority(), cpuinfo=file)


def offered(context: ssl.SSLContext) -> list[str]:
    """Return the suites in the first message that this context sends (ClientHello, RFC 8446 §4.1.2)."""
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    hello = outgoing.read()[9 + 2 + 32 :]
    session, hello = hello[0], hello[1:]
    length = int.from_bytes(hello[session : session + 2], "big")
    suites = hello[session + 2 : session + 2 + length]
    numbers = [int.from_bytes(suites[at : at + 2], "big") for at in range(0, length, 2)]
    return [SUITES[number] for number in numbers if number != RENEGOTIATION_SIGNAL]


def shake(context: DockContext, port: int) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("localhost", port), 30), server_hostname="localhost")


@pytest.mark.parametrize(("cpuinfo", "has_aes"), [(PI_4, False), (PI_5, True), (OLD_PC, False), (PC, True)])
def test_whether_a_processor_computes_aes_is_read_from_what_the_kernel_says(
    tmp_path: Path, *, cpuinfo: str, has_aes: bool
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo)
    assert has_aes_instructions(file) is has_aes


def test_a_board_without_aes_instructions_offers_chacha20_and_nothing_else(
    dock: RunningDock, folder: UnitFolder
) -> None:
    context = context_on(folder, PI_4)
    assert offered(context) == [CHACHA20]
    with shake(context, dock.port) as connection:
        assert connection.cipher() == (CHACHA20, "TLSv1.3", 256)


def test_a_board_with_aes_instructions_offers_every_suite_of_tls_1_3(dock: RunningDock, folder: UnitFolder) -> None:
    context = context_on(folder, PI_5)
    assert set(offered(context)) == set(SUITES.values())
    with shake(context, dock.port) as connection:
        assert connection.version() == "TLSv1.3"


def test_where_the_kernel_says_nothing_nothing_is_changed(folder: UnitFolder) -> None:
    context = context_for(folder, folder.authority(), cpuinfo=Path("/nowhere"))
    assert set(offered(context)) == set(SUITES.values())


def test_http_1_1_is_agreed_upon(dock: RunningDock, folder: UnitFolder) -> None:
    with shake(context_on(folder, PC), dock.port) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_a_revoked_dock_is_found_in_the_handshake_before_it_hears_a_word(dock: RunningDock, folder: UnitFolder) -> None:
    shown = load_certificate(dock.dock.folder.tls_certificate_file)
    dock.pki.revoke(Identity(dock.pki.unit("unit-9").key, shown))
    folder.keep_revocations(dock.pki.revocations_pem())
    with pytest.raises(CertificateError, match="it was revoked on"):
        shake(context_on(folder, PC), dock.port)


def test_a_key_of_another_certificate_is_told(dock: RunningDock, folder: UnitFolder) -> None:
    folder.key_file.unlink()
    dock.pki.unit("unit-2").write(folder.key_file, folder.path / "other.crt")
    with pytest.raises(TlsFilesError, match="cannot be used"):
        context_on(folder, PC)
