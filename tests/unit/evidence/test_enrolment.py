"""The code of a first docking, the requests, and the folder between dock and authority."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence.enrolment import (
    Answer,
    Confirmed,
    NotARequestError,
    Register,
    Request,
    code,
    commitment_to,
    in_groups,
    key_sha256,
    requested_key,
)
from evidence.enrolment_files import EnrolmentFiles, EnrolmentOpenError
from evidence.strict import SchemaError, read_json

KEY = Ed25519PublicKey.from_public_bytes(bytes(range(32)))
NONCES = {"unit_nonce": b"u" * 32, "dock_nonce": b"d" * 32, "dock_certificate_sha256": b"c" * 32}
CONFIRMED = Confirmed(unit_id="unit-01", csr=b"a request", confirmed_at=datetime(2026, 11, 24, 12, 0, tzinfo=UTC))


@pytest.fixture
def files(tmp_path: Path) -> EnrolmentFiles:
    files = EnrolmentFiles(tmp_path / "enrolment")
    files.prepare()
    return files


def csr(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def test_the_code_is_what_the_format_says() -> None:
    """Computed by printf and sha256sum: the first eight bytes as a number, modulo a million."""
    assert code(KEY, **NONCES) == "385755"
    assert commitment_to(b"d" * 32).hex().startswith("6ef8d0b4")
    assert in_groups("000042") == "000 042"


@pytest.mark.parametrize("name", NONCES)
def test_the_code_depends_on_everything_that_either_side_has_said(name: str) -> None:
    before = code(KEY, **NONCES)
    assert code(KEY, **{**NONCES, name: b"x" * 32}) != before
    assert code(Ed25519PrivateKey.generate().public_key(), **NONCES) != before


def test_codes_have_six_digits_and_are_spread_evenly() -> None:
    codes = [code(KEY, **{**NONCES, "unit_nonce": number.to_bytes(32, "big")}) for number in range(20_000)]
    assert all(len(each) == 6 and each.isdigit() for each in codes)
    for place in range(6):
        for digit in "0123456789":
            assert 1750 < sum(each[place] == digit for each in codes) < 2250


def test_a_request_that_is_none_is_refused_with_the_reason() -> None:
    good = csr(Ed25519PrivateKey.generate())
    assert isinstance(requested_key(good), Ed25519PublicKey)
    with pytest.raises(NotARequestError, match="cannot be read"):
        requested_key(b"nothing of the kind")
    with pytest.raises(NotARequestError, match="not an Ed25519 key"):
        requested_key(csr(ec.generate_private_key(ec.SECP256R1())))
    der = bytearray(x509.load_pem_x509_csr(good).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(NotARequestError, match="its signature does not fit"):
        requested_key(forged)


def test_a_nonce_of_another_length_and_a_request_that_is_too_long_are_refused() -> None:
    for content in (b'{"csr": "", "nonce": "AAAA"}', b'{"csr": "%s", "nonce": "%s"}' % (b"A" * 4000, b"A" * 43 + b"=")):
        with pytest.raises(SchemaError):
            read_json(content, Request, "request")


def test_enrolment_is_open_as_long_as_somebody_holds_it_and_one_at_a_time(files: EnrolmentFiles) -> None:
    assert not files.is_open()
    with files.opened():
        assert files.is_open()
        with pytest.raises(EnrolmentOpenError, match="end that one first"), EnrolmentFiles(files.path).opened():
            pass
    assert not files.is_open()
    assert not EnrolmentFiles(files.path / "nowhere").is_open()


def test_a_command_that_is_killed_leaves_no_open_door_behind(files: EnrolmentFiles) -> None:
    script = (
        "import sys, time, pathlib; from evidence.enrolment_files import EnrolmentFiles\n"
        "with EnrolmentFiles(pathlib.Path(sys.argv[1])).opened(): print(flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", script, str(files.path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert files.is_open()
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert not files.is_open()


def test_what_is_asked_is_unanswered_until_there_is_an_answer_and_asked_again_it_is_so_once_more(
    files: EnrolmentFiles,
) -> None:
    key = key_sha256(KEY)
    assert files.answer_of(key) is None
    files.ask(key, CONFIRMED)
    (files.requests / "notes.txt").write_text("of somebody")
    (files.requests / f".{key}.json.0123.new").write_text("half")
    assert files.unanswered() == [key]
    assert files.asked(key) == CONFIRMED
    files.answer(key, Answer(refusal="No."))
    assert files.unanswered() == []
    assert files.answer_of(key) == Answer(refusal="No.")
    files.ask(key, CONFIRMED)
    assert files.unanswered() == [key]
    files.forget(key)
    assert not files.is_asked(key)


def test_the_register_is_written_only_where_it_has_changed(files: EnrolmentFiles) -> None:
    assert files.register() == Register()
    files.keep_register(Register(enrolled=("unit-01",)))
    written = files.register_file.stat().st_ino
    files.keep_register(Register(enrolled=("unit-01",)))
    assert files.register_file.stat().st_ino == written
    files.keep_register(Register(enrolled=("unit-01",), to_reissue=("unit-01",)))
    assert files.register().to_reissue == ("unit-01",)
    files.register_file.write_text("{}")
    with pytest.raises(SchemaError, match="schema"):
        files.register()
