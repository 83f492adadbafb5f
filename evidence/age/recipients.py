"""Recipients and identities from their texts, whatever their kind."""

from collections.abc import Iterable

from evidence.age import bech32
from evidence.age.errors import IdentityTextError, RecipientTextError
from evidence.age.header import FileKey, Header, Recipient
from evidence.age.hybrid import HybridIdentity, HybridRecipient
from evidence.age.x25519 import X25519Identity, X25519Recipient


def parse_recipient(text: str) -> X25519Recipient | HybridRecipient:
    """Read a text that begins with age1; white space around it is ignored. Raises RecipientTextError."""
    try:
        prefix, public = bech32.decode(text.strip())
    except bech32.Bech32Error as error:
        raise RecipientTextError(str(error)) from None
    match prefix:
        case HybridRecipient.PREFIX:
            return HybridRecipient(public)
        case X25519Recipient.PREFIX:
            return X25519Recipient(public)
        case X25519Identity.PREFIX | HybridIdentity.PREFIX:
            raise RecipientTextError("it is a secret key, which belongs to nobody but its owner")
        case _:
            raise RecipientTextError("its kind is not known here")


def parse_recipients(texts: Iterable[str]) -> list[Recipient]:
    """Read the texts of recipients that are to share files; raises RecipientTextError or RecipientsError."""
    recipients: list[Recipient] = [parse_recipient(text) for text in texts]
    Header.seal(recipients, FileKey.generate())  # whether they go together is known to nobody else
    return recipients


def parse_identity(text: str) -> X25519Identity | HybridIdentity:
    """Read a text that begins with AGE-SECRET-KEY-; white space around it is ignored. Raises IdentityTextError."""
    try:
        prefix, secret = bech32.decode(text.strip())
    except bech32.Bech32Error as error:
        raise IdentityTextError(str(error)) from None
    try:
        match prefix:
            case HybridIdentity.PREFIX:
                return HybridIdentity(secret)
            case X25519Identity.PREFIX:
                return X25519Identity(secret)
            case X25519Recipient.PREFIX | HybridRecipient.PREFIX:
                raise IdentityTextError("it is a recipient, the public half")
            case _:
                raise IdentityTextError("its kind is not known here")
    except ValueError:
        raise IdentityTextError("its length does not fit") from None


def parse_identities(text: str) -> list[X25519Identity | HybridIdentity]:
    """Read a key file: an identity on each line but for blank lines and those that begin with #.

    Raises IdentityTextError, also when there is no identity at all.
    """
    lines = [line.strip() for line in text.splitlines()]
    identities = [parse_identity(line) for line in lines if line and not line.startswith("#")]
    if not identities:
        raise IdentityTextError("the key file holds none")
    return identities
