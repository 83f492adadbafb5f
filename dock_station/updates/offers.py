"""What the dock offers its units, as IT's command has put it there: read anew at each question, and not judged here."""

from typing import BinaryIO

from evidence.docking import UpdateOffer
from evidence.errors import EnvironmentalError, MirrorcamError, reason_of
from evidence.strict import SchemaError
from evidence.update_files import UpdateFiles


class NotOfferedError(MirrorcamError):
    """A unit asks for a bundle that is not offered, or not any more."""

    def __init__(self) -> None:
        super().__init__("This bundle is not offered here: ask what is, and fetch that.")


class OfferUnusableError(EnvironmentalError):
    """What IT has put into the dock's folder is not as its command leaves it."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The dock cannot use the bundle that it offers ({reason}): have IT run 'mirrorcam-provision bundle "
            "withdraw', and publish it again."
        )


def offer_in(files: UpdateFiles) -> UpdateOffer | None:
    """Return what is offered, None where nothing is; raises OfferUnusableError."""
    try:
        return files.offer()
    except SchemaError as error:
        raise OfferUnusableError(error.reason) from error
    except OSError as error:
        raise OfferUnusableError(reason_of(error)) from error


def opened(files: UpdateFiles, sha256: str) -> tuple[UpdateOffer, BinaryIO]:
    """Return the offer and its bundle, open; raises NotOfferedError where it is another one, or OfferUnusableError.

    Whoever reads an open bundle reads it to its end, also when IT puts another one in its place meanwhile.
    """
    offer = offer_in(files)
    if offer is None or offer.sha256 != sha256:
        raise NotOfferedError
    try:
        bundle = files.bundle(sha256).open("rb", buffering=0)
    except OSError as error:
        raise OfferUnusableError(reason_of(error)) from error
    if bundle.seek(0, 2) != offer.bytes:
        bundle.close()
        raise OfferUnusableError("its file has another size")
    return offer, bundle
