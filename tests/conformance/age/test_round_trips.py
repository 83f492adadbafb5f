"""What we seal, independent programs open, and what they seal, we open."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from evidence.age import (
    CHUNK_SIZE,
    HybridIdentity,
    Identity,
    Recipient,
    ScryptIdentity,
    ScryptRecipient,
    SealedFile,
    SealingWriter,
    X25519Identity,
    open_bytes,
    parse_identity,
    parse_recipient,
    read_header,
)
from evidence.age.errors import NoIdentityMatchesError

SIZES = [0, 1, 65535, 65536, 65537, 131072, 131073, 5_000_003]
# Piece sizes that never line up with chunks, and two that do.
PIECES = [1_000_003, 65536, 20_000, 131072, 65537]
PASSPHRASE = "Zwölf Boxkämpfer jagen Viktor"
# Quick enough to seal often; the default is used where the age program chooses it.
WORK_FACTOR = 8

# Kinds that age-encryption knows and that do not apply here, each with the reason; the first two it can only
# seal to, so that they serve to show what a file of an unknown kind is answered with.
KINDS_THAT_DO_NOT_APPLY = {
    "p256tag": "its identity is a hardware token behind a plugin program",
    "mlkem768p256tag": "its identity is a hardware token behind a plugin program",
    "age-encryption.org/fido2prf": "its identity is a passkey in a browser, which a test in Node does not have",
}
# The example in the specification.
TAG_RECIPIENT = "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e"

Jobs = Callable[[list[dict[str, Any]]], list[dict[str, str]]]


class KeyPair(Protocol):
    """What both kinds of public-key identity have."""

    @property
    def recipient(self) -> Recipient: ...

    def secret_text(self) -> str: ...

    def unwrap(self, stanzas: Sequence[Any]) -> Any: ...


def seal_to_file(path: Path, data: bytes, recipients: Sequence[Recipient], piece: int) -> None:
    with path.open("wb") as file:
        writer = SealingWriter(file.write, recipients)
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
        writer.close()


def assert_opens(path: Path, data: bytes, identities: Sequence[Identity]) -> None:
    """Check both ways of opening a file against its plaintext."""
    assert open_bytes(path.read_bytes(), identities) == data
    with path.open("rb") as file:
        header = read_header(file)
        sealed = SealedFile(file, header, header.unwrap(identities))
        assert sealed.complete
        assert sealed.size == len(data)
        assert sealed.read_at(0, len(data)) == data


@pytest.fixture
def plain_files(tmp_path: Path) -> dict[int, Path]:
    """A file of random bytes for each of SIZES."""
    files = {size: tmp_path / f"{size}.plain" for size in SIZES}
    for size, path in files.items():
        path.write_bytes(os.urandom(size))
    return files


@pytest.fixture(params=[HybridIdentity, X25519Identity], ids=["hybrid", "x25519"])
def identity(request: pytest.FixtureRequest) -> KeyPair:
    made: KeyPair = request.param.generate()
    return made


def test_the_npm_package_opens_what_we_seal(
    identity: KeyPair, plain_files: dict[int, Path], age_encryption: Jobs, tmp_path: Path
) -> None:
    jobs = []
    for (size, plain), piece in zip(plain_files.items(), PIECES * 2, strict=False):
        sealed = tmp_path / f"{size}.age"
        seal_to_file(sealed, plain.read_bytes(), [identity.recipient], piece)
        output = str(tmp_path / f"{size}.opened")
        jobs.append({"do": "open", "input": str(sealed), "output": output, "identities": [identity.secret_text()]})
    age_encryption(jobs)
    for size, plain in plain_files.items():
        assert (tmp_path / f"{size}.opened").read_bytes() == plain.read_bytes()


def test_we_open_what_the_npm_package_seals(
    identity: KeyPair, plain_files: dict[int, Path], age_encryption: Jobs, tmp_path: Path
) -> None:
    recipients = [str(identity.recipient)]
    age_encryption(
        [
            {"do": "seal", "input": str(plain), "output": str(tmp_path / f"{size}.age"), "recipients": recipients}
            for size, plain in plain_files.items()
        ]
    )
    for size, plain in plain_files.items():
        assert_opens(tmp_path / f"{size}.age", plain.read_bytes(), [identity])


def test_we_open_what_the_npm_package_armors(
    identity: KeyPair, plain_files: dict[int, Path], age_encryption: Jobs, tmp_path: Path
) -> None:
    plain, sealed = plain_files[65537], tmp_path / "armored.age"
    recipients = [str(identity.recipient)]
    age_encryption(
        [{"do": "seal", "input": str(plain), "output": str(sealed), "recipients": recipients, "armored": True}]
    )
    assert open_bytes(sealed.read_bytes(), [identity]) == plain.read_bytes()


@pytest.mark.parametrize(("kind", "type_"), [("hybrid", HybridIdentity), ("x25519", X25519Identity)])
def test_a_key_made_by_the_npm_package_has_the_same_texts_here(
    kind: str, type_: type[HybridIdentity | X25519Identity], age_encryption: Jobs
) -> None:
    (theirs,) = age_encryption([{"do": "generate", "kind": kind}])
    identity = parse_identity(theirs["identity"])
    assert type(identity) is type_
    assert identity.secret_text() == theirs["identity"]
    assert str(identity.recipient) == theirs["recipient"]
    assert parse_recipient(theirs["recipient"]) == identity.recipient


def test_a_file_of_a_kind_that_does_not_apply_is_refused_with_its_name(
    plain_files: dict[int, Path], age_encryption: Jobs, tmp_path: Path
) -> None:
    plain, sealed = plain_files[1], tmp_path / "token.age"
    age_encryption([{"do": "seal", "input": str(plain), "output": str(sealed), "recipients": [TAG_RECIPIENT]}])
    with pytest.raises(NoIdentityMatchesError, match="sealed to p256tag:") as caught:
        open_bytes(sealed.read_bytes(), [HybridIdentity.generate(), X25519Identity.generate()])
    assert set(caught.value.kinds) <= set(KINDS_THAT_DO_NOT_APPLY)


def test_each_of_several_recipients_opens_alone(
    identity: KeyPair, plain_files: dict[int, Path], age_encryption: Jobs, tmp_path: Path
) -> None:
    others = [type(identity).generate() for _ in range(2)]  # type: ignore[attr-defined]
    everybody = [others[0], identity, others[1]]
    data = plain_files[131072].read_bytes()
    ours, theirs = tmp_path / "ours.age", tmp_path / "theirs.age"
    seal_to_file(ours, data, [each.recipient for each in everybody], CHUNK_SIZE)
    recipients = [str(each.recipient) for each in everybody]
    plain = str(plain_files[131072])
    jobs = [{"do": "seal", "input": plain, "output": str(theirs), "recipients": recipients}]
    outputs = [tmp_path / f"{number}.opened" for number in range(3)]
    for each, output in zip(everybody, outputs, strict=True):
        secrets = [each.secret_text()]
        jobs.append({"do": "open", "input": str(ours), "output": str(output), "identities": secrets})
    age_encryption(jobs)
    for each, output in zip(everybody, outputs, strict=True):
        assert output.read_bytes() == data
        assert open_bytes(theirs.read_bytes(), [each]) == data


def test_passphrases_go_both_ways_with_the_npm_package(
    plain_files: dict[int, Path], age_encryption: Jobs, tmp_path: Path
) -> None:
    jobs: list[dict[str, Any]] = []
    for size, plain in plain_files.items():
        ours = tmp_path / f"{size}.ours"
        seal_to_file(ours, plain.read_bytes(), [ScryptRecipient(PASSPHRASE, WORK_FACTOR)], CHUNK_SIZE)
        secret = {"passphrase": PASSPHRASE}
        jobs.append({"do": "open", "input": str(ours), "output": str(tmp_path / f"{size}.opened"), **secret})
        theirs = str(tmp_path / f"{size}.theirs")
        jobs.append({"do": "seal", "input": str(plain), "output": theirs, "workFactor": WORK_FACTOR, **secret})
    age_encryption(jobs)
    for size, plain in plain_files.items():
        assert (tmp_path / f"{size}.opened").read_bytes() == plain.read_bytes()
        assert_opens(tmp_path / f"{size}.theirs", plain.read_bytes(), [ScryptIdentity(PASSPHRASE)])


def test_debians_age_opens_what_we_seal(plain_files: dict[int, Path], age_program: Any, tmp_path: Path) -> None:
    identity = X25519Identity.generate()
    key = tmp_path / "key.txt"
    key.write_text(f"# a key of this test\n{identity.secret_text()}\n")
    for (size, plain), piece in zip(plain_files.items(), PIECES * 2, strict=False):
        sealed = tmp_path / f"{size}.age"
        seal_to_file(sealed, plain.read_bytes(), [X25519Identity.generate().recipient, identity.recipient], piece)
        done = age_program("-d", "-i", str(key), str(sealed))
        assert done.returncode == 0, done.stderr
        assert done.stdout == plain.read_bytes()


@pytest.mark.parametrize("armor", [[], ["-a"]], ids=["binary", "armored"])
def test_we_open_what_debians_age_seals(
    armor: list[str], plain_files: dict[int, Path], age_program: Any, tmp_path: Path
) -> None:
    identity, other = X25519Identity.generate(), X25519Identity.generate()
    recipients = ["-r", str(other.recipient), "-r", str(identity.recipient)]
    for size, plain in plain_files.items():
        sealed = tmp_path / f"{size}.age"
        done = age_program(*armor, *recipients, "-o", str(sealed), str(plain))
        assert done.returncode == 0, done.stderr
        if armor:
            assert open_bytes(sealed.read_bytes(), [identity]) == plain.read_bytes()
        else:
            assert_opens(sealed, plain.read_bytes(), [identity])


def test_debians_age_opens_what_we_seal_with_a_passphrase(
    plain_files: dict[int, Path], age_at_a_terminal: Any, tmp_path: Path
) -> None:
    sealed, opened = tmp_path / "sealed.age", tmp_path / "opened"
    seal_to_file(sealed, plain_files[65537].read_bytes(), [ScryptRecipient(PASSPHRASE)], CHUNK_SIZE)
    assert age_at_a_terminal(["-d", "-o", str(opened), str(sealed)], PASSPHRASE) == 0
    assert opened.read_bytes() == plain_files[65537].read_bytes()


def test_we_open_what_debians_age_seals_with_a_passphrase(
    plain_files: dict[int, Path], age_at_a_terminal: Any, tmp_path: Path
) -> None:
    sealed = tmp_path / "sealed.age"
    assert age_at_a_terminal(["-p", "-o", str(sealed), str(plain_files[65537])], PASSPHRASE) == 0
    assert_opens(sealed, plain_files[65537].read_bytes(), [ScryptIdentity(PASSPHRASE)])


def test_debians_age_and_we_release_the_same_part_of_a_file_cut_short(age_program: Any, tmp_path: Path) -> None:
    identity = X25519Identity.generate()
    key, sealed, opened = tmp_path / "key.txt", tmp_path / "sealed.age", tmp_path / "opened"
    key.write_text(identity.secret_text())
    data = os.urandom(200_000)
    seal_to_file(sealed, data, [identity.recipient], CHUNK_SIZE)
    whole = sealed.read_bytes()
    for length in (len(whole) - 1, len(whole) - 60_000, len(whole) - 80_000):
        sealed.write_bytes(whole[:length])
        done = age_program("-d", "-i", str(key), "-o", str(opened), str(sealed))
        assert done.returncode != 0
        with sealed.open("rb") as file:
            header = read_header(file)
            ours = SealedFile(file, header, header.unwrap([identity]))
            assert not ours.complete
            assert ours.read_at(0, ours.size) == opened.read_bytes()
        opened.unlink()
