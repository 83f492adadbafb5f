"""Who was ever certified to sign a bundle of a release, and whether they still count."""

from cryptography import x509

from evidence.certificates import load_certificate
from evidence.errors import MirrorcamError
from evidence.release import Release
from provisioning.authority import AuthorityFolder


class RevokedReleaseError(MirrorcamError):
    """The trust in a release was taken away."""

    def __init__(self, release: Release) -> None:
        super().__init__(f"Release {release} was revoked and stays so: have an image of a later release made.")


def record_name(release: Release, *, compatible: str = "*", serial: str = "*") -> str:
    """Return the name of the authority's copy of a signer's certificate; what is not given may be anything, for glob.

    `serial` is the certificate's own serial number (hex): each time that a bundle is made it has another signer.
    """
    return f"{compatible}-{release}-{serial}.crt"


def signers_of(authority: AuthorityFolder, release: Release) -> list[x509.Certificate]:
    """Return every signer that was certified for a release, whatever it was to fit in."""
    return [load_certificate(record) for record in sorted(authority.bundles.glob(record_name(release)))]


def check_not_revoked(authority: AuthorityFolder, release: Release) -> None:
    """Raise RevokedReleaseError if a signer of the release was revoked; raises NoAuthorityError."""
    revoked = {entry.serial_number for entry in authority.revocations()}
    if any(signer.serial_number in revoked for signer in signers_of(authority, release)):
        raise RevokedReleaseError(release)
