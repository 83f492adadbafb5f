"""The text form: what strict PEM allows is read, and everything else is refused with its line."""

import base64
import io
import os
from collections.abc import Callable

import pytest

from evidence.age import X25519Identity, open_bytes, open_stream, seal_bytes
from evidence.age.armor import binary
from evidence.age.errors import ArmorError

BEGIN, END = "-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----"


def lines_of(sealed: bytes) -> list[str]:
    text = base64.b64encode(sealed).decode()
    return [text[start : start + 64] for start in range(0, len(text), 64)]


@pytest.fixture
def armored(identity: X25519Identity) -> list[str]:
    return [BEGIN, *lines_of(seal_bytes(b"locked", [identity.recipient])), END]


@pytest.mark.parametrize("size", [0, 1, 100_000])
@pytest.mark.parametrize("end_of_line", ["\n", "\r\n"])
def test_what_is_armored_opens(size: int, end_of_line: str, identity: X25519Identity) -> None:
    data = os.urandom(size)
    sealed = seal_bytes(data, [identity.recipient])
    text = end_of_line.join(["", "  ", BEGIN, *lines_of(sealed), END, "", " "]).encode()
    assert open_bytes(text, [identity]) == data
    assert binary(io.BytesIO(text)).read() == sealed


def test_a_binary_file_is_left_alone() -> None:
    file = io.BytesIO(b"age-encryption.org/v1\n-> -----BEGIN\n")
    assert binary(file) is file
    assert file.tell() == 0


@pytest.mark.parametrize(
    ("change", "line", "rule"),
    [
        (lambda lines: ["Dear all,", *lines], 1, "not -----BEGIN"),
        (lambda lines: [lines[0] + " ", *lines[1:]], 1, "not -----BEGIN"),
        (lambda lines: ["-----BEGIN PRIVATE KEY-----", *lines[1:]], 1, "not -----BEGIN"),
        (lambda lines: [lines[0], "", *lines[1:]], 2, "0 characters"),
        (lambda lines: [lines[0], "Version: 1", *lines[1:]], 2, "not base64"),
        (lambda lines: [lines[0], lines[1] + lines[2], *lines[3:]], 2, "128 characters"),
        (lambda lines: [lines[0], lines[1][:60], *lines[2:]], 3, "the data ended on the line before"),
        (lambda lines: [lines[0], " " + lines[1][1:], *lines[2:]], 2, "not base64"),
        (lambda lines: [*lines[:-2], lines[-2] + "AAAA", lines[-1]], 6, "base64"),
        (lambda lines: [*lines[:-1], "-----END AGE ENCRYPTED FILE----"], 7, "the data ended"),
        (lambda lines: lines[:-1], 7, "ends without -----END"),
        (lambda lines: [*lines, "regards"], 8, "something follows"),
        (lambda lines: [*lines, " " * 1025], 8, "something follows"),
    ],
)
def test_armor_that_breaks_a_rule_is_refused_with_its_line(
    change: Callable[[list[str]], list[str]], line: int, rule: str, armored: list[str], identity: X25519Identity
) -> None:
    with pytest.raises(ArmorError, match=rule) as caught:
        open_bytes("\n".join(change(armored)).encode(), [identity])
    assert caught.value.line == line


def test_base64_that_could_be_written_otherwise_is_refused(identity: X25519Identity) -> None:
    text = "\n".join([BEGIN, "AB==", END]).encode()
    with pytest.raises(ArmorError, match=r"Line 2 .* not canonical"):
        binary(io.BytesIO(text)).read()


def test_a_line_without_end_is_not_read_whole() -> None:
    file = io.BytesIO(f"{BEGIN}\n".encode() + b"A" * 10_000_000)
    with pytest.raises(ArmorError, match="characters"):
        binary(file).read()
    assert file.tell() < 10_000


def test_what_precedes_a_broken_line_was_authentic(identity: X25519Identity) -> None:
    data = os.urandom(200_000)
    lines = [BEGIN, *lines_of(seal_bytes(data, [identity.recipient])), END]
    lines[-10] = "!" * 64
    released = io.BytesIO()
    with pytest.raises(ArmorError):
        open_stream(io.BytesIO("\n".join(lines).encode()), [identity], released.write)
    assert data.startswith(released.getvalue())
    assert len(released.getvalue()) % 65536 == 0
