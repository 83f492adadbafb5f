"""The authority's public side: what every card of a town carries, and no secret in it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from evidence.certificates import Authority, Role, load_certificate
from evidence.errors import EnvironmentalError, NotGenuineError
from evidence.signature import SIGNATURE_BYTES, verify
from provisioning.authority import AuthorityFolder, NotAnAuthorityError
from provisioning.card.image import digest_file
from provisioning.issuing import NoTownError, pem, town_of
from provisioning.keys import load_authority_key

# What the unit reads: the names of the files in its folder (appliance.settings.UnitFolder).
AUTHORITY_NAME = "authority.crt"
ENROLMENT_NAME = "enrolment.toml"


class ImageOfOthersError(NotGenuineError):
    """The image is signed, and not by the one who was to have signed it."""

    def __init__(self, path: Path, signer: str) -> None:
        super().__init__(
            f"{path} is not signed by {signer}: name its publisher's certificate with --publisher, or fetch the image "
            "again. Nothing was written."
        )
        self.path = path


class NotSignedError(EnvironmentalError):
    """A publisher was named, and the image has no signature."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing: fetch the image's signature too, or leave --publisher out.")
        self.path = path


@dataclass(frozen=True)
class PublicSide:
    """What goes into the data partition, so that a unit knows whom to ask to be enrolled, and how its board is."""

    certificate: x509.Certificate
    dock_url: str
    screen: tuple[int, int] | None = None
    microphone: str | None = None

    @property
    def town(self) -> str:
        """The town whose authority it is."""
        return town_of(self.certificate)

    def files(self) -> dict[str, bytes]:
        """Return each file's content by its name. What the words hold was checked: no quotation mark."""
        lines = [f'dock_url = "{self.dock_url}"']
        if self.screen:
            lines += [f"screen_width = {self.screen[0]}", f"screen_height = {self.screen[1]}"]
        if self.microphone:
            lines.append(f'microphone = "{self.microphone}"')
        return {AUTHORITY_NAME: pem(self.certificate), ENROLMENT_NAME: "".join(f"{line}\n" for line in lines).encode()}


def read_public_side(
    folder: Path, dock_url: str, screen: tuple[int, int] | None, at: datetime, *, microphone: str | None = None
) -> PublicSide:
    """Return the public side of the authority in `folder`, which need hold no more than `authority.crt`.

    What else is there must go with it: its key, and the policy signer's certificate. Raises NoAuthorityError,
    NotAnAuthorityError, CertificateFileError, CertificateError or KeyFileError.
    """
    authority = AuthorityFolder(folder)
    certificate = authority.certificate()
    _check_is_authority(authority.certificate_file, certificate, at)
    if authority.key_file.exists() and load_authority_key(authority.key_file).public_key() != certificate.public_key():
        raise NotAnAuthorityError(authority.certificate_file, "the key beside it is of another one")
    if authority.policy_signer_certificate_file.exists():
        signer = load_certificate(authority.policy_signer_certificate_file)
        Authority(certificate).check(signer, Role.POLICY_SIGNER, at)
    return PublicSide(certificate, dock_url, screen, microphone)


def signature_file(image: Path) -> Path:
    """Return where an image's signature stands: beside it."""
    return image.with_name(f"{image.name}.sig")


def check_publisher(image: Path, publisher: Path | None, authority: AuthorityFolder) -> bool:
    """Tell whether the image is signed; a signature that is there must be good.

    `<image>.sig` is a raw Ed25519 signature over the bytes of `<image>.sha256`, by the holder of the
    certificate `publisher`, else by the authority's policy signer. Raises ImageOfOthersError, NotSignedError or
    CertificateFileError.
    """
    file = signature_file(image)
    try:
        signature = file.read_bytes()
    except FileNotFoundError as error:
        if publisher:
            raise NotSignedError(file) from error
        return False
    by = publisher or authority.policy_signer_certificate_file
    if not by.exists() and not publisher:
        raise ImageOfOthersError(image, "this authority")
    try:
        verify(digest_file(image).read_bytes(), signature[: SIGNATURE_BYTES + 1], load_certificate(by), "image")
    except NotGenuineError as error:
        raise ImageOfOthersError(image, f"the holder of {by}") from error
    return True


def _check_is_authority(path: Path, certificate: x509.Certificate, at: datetime) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(certificate)
        town_of(certificate)
    except x509.ExtensionNotFound as error:
        raise NotAnAuthorityError(path, "it may not issue others") from error
    except (InvalidSignature, ValueError, TypeError) as error:
        raise NotAnAuthorityError(path, "another one issued it") from error
    except NoTownError as error:
        raise NotAnAuthorityError(path, "it names no town") from error
    if not constraints.ca:
        raise NotAnAuthorityError(path, "it may not issue others")
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise NotAnAuthorityError(path, "it is not valid today, or this computer's clock is wrong")
