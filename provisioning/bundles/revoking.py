"""Taking the trust in a release away: its signers are revoked, and no dock offers it any more."""

from datetime import datetime

from dock_station.settings import DockFolder
from evidence.errors import MirrorcamError
from evidence.release import Release
from provisioning.authority import AuthorityFolder
from provisioning.bundles.publishing import offered_in, withdraw_bundle
from provisioning.bundles.signers import signers_of
from provisioning.placing import SetUp
from provisioning.revoking import revoke


class UnknownReleaseError(MirrorcamError):
    """The authority has certified no signer of such a release."""

    def __init__(self, release: Release) -> None:
        super().__init__(
            f"This authority has certified no signer of release {release}: the certificates of all that it has are in "
            "its folder 'bundles'."
        )


def revoke_release(authority: AuthorityFolder, release: Release, at: datetime) -> SetUp:
    """Revoke every signer that was ever certified for a release; raises UnknownReleaseError or NoAuthorityError."""
    signers = signers_of(authority, release)
    if not signers:
        raise UnknownReleaseError(release)
    return revoke(authority, signers, f"the signers of release {release}", at)


def withdraw_release(dock: DockFolder, release: Release) -> bool:
    """End a dock's offer if it is of this release, and say whether it was.

    Raises NotADockError, OfferUnusableError or OSError.
    """
    offer = offered_in(dock.updates)
    return offer is not None and Release.parse(offer.release) == release and withdraw_bundle(dock)
