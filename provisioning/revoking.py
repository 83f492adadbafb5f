"""The list of revoked certificates: whose trust is taken away is added to it, for good."""

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509

from provisioning.authority import AuthorityFolder
from provisioning.placing import SetUp, exclusively


def revoke(authority: AuthorityFolder, certificates: Iterable[x509.Certificate], whose: str, at: datetime) -> SetUp:
    """Add certificates to the list; one that is there already stays as it is. Raises NoAuthorityError."""
    setup = SetUp()
    with exclusively(authority.path):
        known = authority.revocations()
        serials = {certificate.serial_number for certificate in certificates}
        new = sorted(serials - {entry.serial_number for entry in known})
        if not new:
            setup.found(authority.revocations_file, f"list of revoked certificates, {whose} among them")
            return setup
        number = known.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        added = [x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build() for serial in new]
        content = authority.issuer().revocations([*known, *added], number + 1, at)
        setup.replacement(authority.revocations_file, content, f"list of revoked certificates, {whose} added")
    return setup
