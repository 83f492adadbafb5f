"""The authority's public side: what goes onto the card, and each authority or signature that does not match."""

import tomllib
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from appliance.settings import EnrolmentSettings
from evidence.certificates import CertificateError, CertificateFileError, load_certificate
from provisioning.authority import AuthorityFolder, NoAuthorityError, NotAnAuthorityError, create_authority
from provisioning.card.public_side import (
    ImageOfOthersError,
    NotSignedError,
    check_publisher,
    read_public_side,
)
from provisioning.keys import KeyFileError
from tests.unit.provisioning.conftest import CHEAP, NOW, openssl

URL = "https://dock.example:8444"


@pytest.fixture
def other(tmp_path: Path) -> AuthorityFolder:
    folder = AuthorityFolder(tmp_path / "other")
    create_authority(folder, town="Otherton", reviewer="b-example", passphrases=CHEAP, at=NOW)
    return folder


def test_the_files_are_the_certificate_and_what_the_board_needs_to_know(town: AuthorityFolder) -> None:
    files = read_public_side(town.path, URL, (800, 480), NOW).files()
    assert set(files) == {"authority.crt", "enrolment.toml"}
    assert x509.load_pem_x509_certificate(files["authority.crt"]) == town.certificate()
    assert tomllib.loads(files["enrolment.toml"].decode()) == {
        "dock_url": URL, "screen_width": 800, "screen_height": 480,
    }  # fmt: skip


def test_a_microphone_is_what_the_unit_takes_as_one(town: AuthorityFolder) -> None:
    side = read_public_side(town.path, URL, None, NOW, microphone="alsa:plughw:1,0")
    told = msgspec.toml.decode(side.files()["enrolment.toml"], type=EnrolmentSettings)
    assert told.microphone == "alsa:plughw:1,0"


def test_without_a_screen_the_board_has_its_own(town: AuthorityFolder) -> None:
    side = read_public_side(town.path, URL, None, NOW)
    assert tomllib.loads(side.files()["enrolment.toml"].decode()) == {"dock_url": URL}
    assert side.town == "Sampleton"


def test_the_certificate_alone_is_enough_and_nothing_private_is_in_the_files(
    town: AuthorityFolder, tmp_path: Path
) -> None:
    public = tmp_path / "public"
    public.mkdir()
    (public / "authority.crt").write_bytes(town.certificate_file.read_bytes())
    files = read_public_side(public, URL, None, NOW).files()
    assert files == read_public_side(town.path, URL, None, NOW).files()
    assert not any(b"PRIVATE" in content for content in files.values())


def test_a_folder_without_an_authority_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NoAuthorityError, match=r"authority\.crt is missing"):
            read_public_side(place, URL, None, NOW)


def test_a_file_that_is_no_certificate_is_refused(town: AuthorityFolder) -> None:
    town.certificate_file.write_text("no certificate\n")
    with pytest.raises(CertificateFileError):
        read_public_side(town.path, URL, None, NOW)


def test_a_certificate_that_the_authority_issued_is_no_authority(town: AuthorityFolder) -> None:
    town.certificate_file.write_bytes(town.policy_signer_certificate_file.read_bytes())
    with pytest.raises(NotAnAuthorityError, match="another one issued it"):
        read_public_side(town.path, URL, None, NOW)


def test_a_certificate_that_anybody_made_for_a_server_is_no_authority(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "authority.crt"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout", key)
    openssl(*new, "-subj", "/O=Sampleton", "-addext", "basicConstraints=critical,CA:FALSE", "-out", certificate)
    with pytest.raises(NotAnAuthorityError, match="may not issue others"):
        read_public_side(tmp_path, URL, None, load_certificate(certificate).not_valid_before_utc)


@pytest.mark.parametrize("days", [-2, 21 * 365])
def test_an_authority_out_of_its_time_is_refused(town: AuthorityFolder, days: int) -> None:
    with pytest.raises(NotAnAuthorityError, match="not valid today"):
        read_public_side(town.path, URL, None, NOW + timedelta(days=days))


def test_a_key_or_a_policy_signer_of_another_authority_is_refused(
    town: AuthorityFolder, other: AuthorityFolder
) -> None:
    town.policy_signer_certificate_file.write_bytes(other.policy_signer_certificate_file.read_bytes())
    with pytest.raises(CertificateError, match="another authority issued it"):
        read_public_side(town.path, URL, None, NOW)
    town.key_file.write_bytes(other.key_file.read_bytes())
    with pytest.raises(NotAnAuthorityError, match="the key beside it is of another one"):
        read_public_side(town.path, URL, None, NOW)
    town.key_file.write_text("no key\n")
    with pytest.raises(KeyFileError):
        read_public_side(town.path, URL, None, NOW)


class TestSignature:
    @pytest.fixture
    def image(self, tmp_path: Path) -> Path:
        (tmp_path / "mirrorcam.img.sha256").write_text(f"{'0' * 64}  mirrorcam.img\n")
        return tmp_path / "mirrorcam.img"

    def sign(self, image: Path, signer: AuthorityFolder) -> None:
        """Sign as the stock program does."""
        openssl(
            *("pkeyutl", "-sign", "-rawin", "-inkey", signer.policy_signer_key_file),
            *("-in", f"{image}.sha256", "-out", f"{image}.sig"),
        )

    def test_an_image_need_not_be_signed(self, image: Path, town: AuthorityFolder) -> None:
        assert check_publisher(image, None, town) is False

    def test_the_authoritys_own_signature_is_good(self, image: Path, town: AuthorityFolder) -> None:
        self.sign(image, town)
        assert check_publisher(image, None, town) is True

    def test_a_publishers_signature_is_good_with_the_publishers_certificate_alone(
        self, image: Path, town: AuthorityFolder, other: AuthorityFolder
    ) -> None:
        self.sign(image, other)
        assert check_publisher(image, other.policy_signer_certificate_file, town) is True
        with pytest.raises(ImageOfOthersError, match="is not signed by"):
            check_publisher(image, None, town)
        town.policy_signer_certificate_file.unlink()
        with pytest.raises(ImageOfOthersError, match="this authority"):
            check_publisher(image, None, town)

    @pytest.mark.parametrize("change", ["digest", "signature", "longer", "empty"])
    def test_one_that_was_changed_is_refused(self, image: Path, town: AuthorityFolder, change: str) -> None:
        self.sign(image, town)
        signature, digest = Path(f"{image}.sig"), Path(f"{image}.sha256")
        if change == "digest":
            digest.write_text(digest.read_text().replace("0 ", "1 "))
        else:
            good = signature.read_bytes()
            signature.write_bytes({"signature": good[:-1] + b"\0", "longer": good + b"\n", "empty": b""}[change])
        with pytest.raises(ImageOfOthersError):
            check_publisher(image, None, town)

    def test_where_a_publisher_is_named_the_image_must_be_signed(self, image: Path, town: AuthorityFolder) -> None:
        with pytest.raises(NotSignedError, match=r"\.sig is missing"):
            check_publisher(image, town.policy_signer_certificate_file, town)

    def test_a_publisher_that_is_no_certificate_is_refused(self, image: Path, town: AuthorityFolder) -> None:
        self.sign(image, town)
        for file in (image, town.policy_signer_key_file):
            with pytest.raises(CertificateFileError):
                check_publisher(image, file, town)
        with pytest.raises(ImageOfOthersError):
            check_publisher(image, town.certificate_file, town)
