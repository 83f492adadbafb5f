"""Signing an image: `card write`, and the stock program, take the signature; what is not whole is not signed."""

import lzma
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evidence.certificates import CertificateError
from evidence.signature import SigningKeyError
from provisioning.authority import AuthorityFolder, NoAuthorityError, NotAnAuthorityError, create_authority
from provisioning.card.image import ImageChangedError, ImageMissingError, NotAnImageError
from provisioning.card.public_side import ImageOfOthersError, check_publisher
from provisioning.card.signing import sign_image
from tests.cards import publish
from tests.unit.provisioning.conftest import CHEAP, NOW, openssl


def nothing(_doing: str, _done: int, _total: int) -> None:
    """Nobody watches."""


@pytest.fixture
def other(tmp_path: Path) -> AuthorityFolder:
    folder = AuthorityFolder(tmp_path / "other")
    create_authority(folder, town="Otherton", reviewer="b-example", passphrases=CHEAP, at=NOW)
    return folder


def signature_of(image: Path) -> Path:
    return image.with_name(f"{image.name}.sig")


@pytest.mark.parametrize("kind", [".img", ".img.xz"])
def test_what_was_signed_is_known_again_by_card_write_and_by_openssl(
    image_file: Path, town: AuthorityFolder, other: AuthorityFolder, tmp_path: Path, kind: str
) -> None:
    if kind == ".img.xz":
        content = image_file.read_bytes()
        image_file = image_file.with_name(f"{image_file.name}.xz")
        image_file.write_bytes(lzma.compress(content, preset=0))
        publish(image_file)
    assert sign_image(image_file, town, NOW, nothing) == signature_of(image_file)
    assert check_publisher(image_file, None, town) is True
    assert check_publisher(image_file, town.policy_signer_certificate_file, other) is True
    with pytest.raises(ImageOfOthersError):
        check_publisher(image_file, None, other)
    (tmp_path / "signer.pub").write_bytes(
        openssl("x509", "-pubkey", "-noout", "-in", town.policy_signer_certificate_file)
    )
    checking = ("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", tmp_path / "signer.pub")
    openssl(*checking, "-in", f"{image_file}.sha256", "-sigfile", signature_of(image_file))


def test_an_image_that_is_not_what_its_digest_says_is_not_signed(image_file: Path, town: AuthorityFolder) -> None:
    with image_file.open("r+b") as file:
        file.seek(12345678)
        byte = file.read(1)
        file.seek(12345678)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ImageChangedError):
        sign_image(image_file, town, NOW, nothing)
    assert not signature_of(image_file).exists()


def test_what_is_no_image_is_not_signed(tmp_path: Path, town: AuthorityFolder) -> None:
    file = tmp_path / "letter.img"
    with pytest.raises(ImageMissingError):
        sign_image(file, town, NOW, nothing)
    file.write_text("some words\n")
    publish(file)
    with pytest.raises(NotAnImageError):
        sign_image(file, town, NOW, nothing)
    assert not signature_of(file).exists()


def test_a_signature_of_another_time_or_town_is_replaced(
    image_file: Path, town: AuthorityFolder, other: AuthorityFolder
) -> None:
    sign_image(image_file, other, NOW, nothing)
    sign_image(image_file, town, NOW, nothing)
    assert check_publisher(image_file, None, town) is True


def test_an_authority_that_is_not_whole_signs_nothing(
    image_file: Path, town: AuthorityFolder, other: AuthorityFolder, tmp_path: Path
) -> None:
    key, certificate = town.policy_signer_key_file, town.policy_signer_certificate_file
    with pytest.raises(NoAuthorityError):
        sign_image(image_file, AuthorityFolder(tmp_path / "nowhere"), NOW, nothing)
    good = key.read_bytes()
    key.write_bytes(other.policy_signer_key_file.read_bytes())
    with pytest.raises(NotAnAuthorityError, match="the key beside it is of another one"):
        sign_image(image_file, town, NOW, nothing)
    certificate.write_bytes(other.policy_signer_certificate_file.read_bytes())
    with pytest.raises(CertificateError):
        sign_image(image_file, town, NOW, nothing)
    key.unlink()
    with pytest.raises(SigningKeyError):
        sign_image(image_file, town, NOW, nothing)
    key.write_bytes(good)
    assert not signature_of(image_file).exists()


def test_the_command_says_where_the_signature_is_and_refuses_in_one_sentence(image_file: Path, tmp_path: Path) -> None:
    town = AuthorityFolder(tmp_path / "of-today")  # the command asks this computer's clock
    create_authority(town, town="Sampleton", reviewer="a-example", passphrases=CHEAP, at=datetime.now(UTC))
    program = [sys.executable, "-m", "provisioning.cli", "image", "sign"]
    command = [*program, str(image_file), "--authority", str(town.path)]
    signed = subprocess.run(command, capture_output=True, text=True, check=True)
    said = "is the signature of the policy signer of Sampleton: give it away with the image and its .sha256."
    assert signed.stdout == f"{signature_of(image_file)} {said}\n"
    image_file.with_name(f"{image_file.name}.sha256").write_text(f"{'0' * 64}  {image_file.name}\n")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert "is not what its .sha256 says" in refused.stderr
    assert "Traceback" not in refused.stderr
