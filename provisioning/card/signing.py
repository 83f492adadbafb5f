"""The authority's signature beside an image, by which `card write` knows that nobody changed it on its way."""

from datetime import datetime
from pathlib import Path

from evidence.certificates import Authority, Role, load_certificate
from evidence.durable import write_durably
from evidence.signature import SignatureError, verify
from provisioning.authority import AuthorityFolder, NotAnAuthorityError
from provisioning.card.image import Progress, check_image, digest_file
from provisioning.card.public_side import signature_file


def sign_image(image: Path, folder: AuthorityFolder, at: datetime, progress: Progress) -> Path:
    """Sign an image's digest by the authority's policy signer, and return the signature's file, beside it.

    Only an image that has the digest, and the partitions of a unit, is signed; a signature that is there is replaced.
    Raises as `check_image` does, NoAuthorityError, NotAnAuthorityError, SigningKeyError, CertificateFileError,
    CertificateError or OSError.
    """
    authority = Authority(folder.certificate())
    signer, certificate = folder.policy_signer(), load_certificate(folder.policy_signer_certificate_file)
    authority.check(certificate, Role.POLICY_SIGNER, at)
    check_image(image, progress)
    content = digest_file(image).read_bytes()
    signature = signer.sign(content)
    try:
        verify(content, signature, certificate, "image")
    except SignatureError as error:
        raise NotAnAuthorityError(
            folder.policy_signer_certificate_file, "the key beside it is of another one"
        ) from error
    write_durably(signature_file(image), signature)
    return signature_file(image)
