"""Keys and passphrases: their texts, what they keep to themselves, and what does not go together."""

import dataclasses
import resource
import subprocess
import sys

import pytest

from evidence.age import (
    HybridIdentity,
    HybridRecipient,
    Recipient,
    ScryptIdentity,
    ScryptRecipient,
    X25519Identity,
    X25519Recipient,
    bech32,
    open_bytes,
    parse_identities,
    parse_identity,
    parse_recipient,
    seal_bytes,
)
from evidence.age.errors import (
    EmptyPassphraseError,
    IdentityTextError,
    MixedRecipientsError,
    NoIdentityMatchesError,
    NoRecipientsError,
    RecipientTextError,
    ScryptNotAloneError,
    WorkFactorTooHighError,
)

# The examples in the specification.
SPEC_X25519_IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
SPEC_X25519_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
SPEC_HYBRID_IDENTITY = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"
SPEC_HYBRID_RECIPIENT_BEGINS = "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrq"
SPEC_HYBRID_RECIPIENT_ENDS = "lhl53k2ykx3qheyty7saeq0d3fzv49zc0k"
SPEC_TAG_RECIPIENT = "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e"

KINDS = [HybridIdentity, X25519Identity]


def test_the_x25519_example_of_the_specification_is_computed() -> None:
    identity = parse_identity(SPEC_X25519_IDENTITY)
    assert isinstance(identity, X25519Identity)
    assert identity.secret_text() == SPEC_X25519_IDENTITY
    assert str(identity.recipient) == SPEC_X25519_RECIPIENT
    assert parse_recipient(SPEC_X25519_RECIPIENT) == identity.recipient


def test_the_hybrid_example_of_the_specification_is_computed() -> None:
    identity = parse_identity(SPEC_HYBRID_IDENTITY)
    assert isinstance(identity, HybridIdentity)
    assert identity.secret_text() == SPEC_HYBRID_IDENTITY
    text = str(identity.recipient)
    assert text.startswith(SPEC_HYBRID_RECIPIENT_BEGINS)
    assert text.endswith(SPEC_HYBRID_RECIPIENT_ENDS)
    assert parse_recipient(f"  {text}\n") == identity.recipient


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_shows_its_secret_unasked(kind: type[HybridIdentity | X25519Identity]) -> None:
    identity = kind.generate()
    (secret,) = dataclasses.astuple(identity)
    for shown in (str(identity), repr(identity), f"{identity!r:>5}"):
        assert identity.secret_text() not in shown
        assert repr(secret) not in shown
        assert secret.hex() not in shown


def test_no_passphrase_shows() -> None:
    for holder in (ScryptRecipient("pass phrase", 1), ScryptIdentity("pass phrase")):
        assert "pass phrase" not in f"{holder} {holder!r}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SPEC_X25519_RECIPIENT[:-1] + "q", "checksum"),
        (SPEC_X25519_RECIPIENT.upper(), "kind is not known"),
        (SPEC_X25519_IDENTITY, "it is a secret key"),
        (SPEC_HYBRID_IDENTITY, "it is a secret key"),
        (SPEC_TAG_RECIPIENT, "kind is not known"),
        (bech32.encode("age", b"x" * 31), "32 bytes"),
        (bech32.encode("age", bytes(32)), "everybody can open"),
        (bech32.encode("age1pq", b"x" * 32), "1216 bytes"),
        (bech32.encode("age1pq", b"\xff" * 1216), "no valid public key"),
        (bech32.encode("age1pq", HybridIdentity.generate().recipient.public[:1184] + bytes(32)), "no valid public"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "case"),
        ("", "too short"),
    ],
)
def test_a_text_that_is_no_recipient_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(RecipientTextError, match=reason) as caught:
        parse_recipient(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SPEC_X25519_IDENTITY[:-1] + "Q", "checksum"),
        (SPEC_X25519_IDENTITY.lower(), "kind is not known"),
        (SPEC_X25519_RECIPIENT, "public half"),
        (bech32.encode("age-secret-key-", b"x" * 31).upper(), "length"),
        (bech32.encode("age-secret-key-pq-", b"x" * 33).upper(), "length"),
        ("AGE-PLUGIN-YUBIKEY-1Q", "too short"),
    ],
)
def test_a_text_that_is_no_identity_is_refused_without_repeating_it(text: str, reason: str) -> None:
    with pytest.raises(IdentityTextError, match=reason) as caught:
        parse_identity(text)
    assert text not in str(caught.value)


def test_a_key_file_may_have_comments_and_several_keys() -> None:
    text = f"# created: 2026-11-24\r\n\r\n  {SPEC_X25519_IDENTITY} \n#x\n{SPEC_HYBRID_IDENTITY}"
    assert [each.secret_text() for each in parse_identities(text)] == [SPEC_X25519_IDENTITY, SPEC_HYBRID_IDENTITY]
    with pytest.raises(IdentityTextError, match="holds none"):
        parse_identities("# nothing here\n")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_the_wrong_length_cannot_be_made(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        X25519Identity(bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        HybridIdentity(bytes(size))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_opens_what_is_sealed_to_its_recipient_and_no_other_key_does(
    kind: type[HybridIdentity | X25519Identity],
) -> None:
    identity, stranger = kind.generate(), kind.generate()
    sealed = seal_bytes(b"locked", [kind.generate().recipient, identity.recipient])
    assert open_bytes(sealed, [stranger, identity]) == b"locked"
    with pytest.raises(NoIdentityMatchesError, match="None of the keys given"):
        open_bytes(sealed, [stranger])
    with pytest.raises(NoIdentityMatchesError):
        open_bytes(sealed, [])


def test_a_passphrase_opens_and_a_wrong_one_is_told() -> None:
    sealed = seal_bytes(b"locked", [ScryptRecipient("right", 2)])
    assert open_bytes(sealed, [X25519Identity.generate(), ScryptIdentity("wrong"), ScryptIdentity("right")])
    with pytest.raises(NoIdentityMatchesError, match="passphrase does not open this file"):
        open_bytes(sealed, [ScryptIdentity("Right")])


def test_a_passphrase_from_a_terminal_that_is_not_utf_8_is_taken_as_its_bytes() -> None:
    typed = b"caf\xe9".decode(errors="surrogateescape")
    sealed = seal_bytes(b"locked", [ScryptRecipient(typed, 1)])
    assert open_bytes(sealed, [ScryptIdentity(typed)]) == b"locked"


def test_a_passphrase_is_not_tried_when_it_would_cost_too_much() -> None:
    sealed = seal_bytes(b"locked", [ScryptRecipient("right", 12)])
    with pytest.raises(WorkFactorTooHighError, match="work factor is 12 and at most 11") as caught:
        open_bytes(sealed, [ScryptIdentity("right", max_work_factor=11)])
    assert (caught.value.work_factor, caught.value.limit) == (12, 11)


def test_a_machine_without_the_memory_for_a_passphrase_says_so() -> None:
    # A process of its own, because a limit on memory cannot be taken back.
    script = """
import resource
from evidence.age import ScryptRecipient, seal_bytes
from evidence.age.errors import PassphraseMemoryError
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
try:
    seal_bytes(b"", [ScryptRecipient("right", 20)])
except PassphraseMemoryError as error:
    print(error)
"""
    assert resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "Trying a passphrase takes 1024 MiB of memory: close other programs and try again.\n"


@pytest.mark.parametrize("work_factor", [0, -1, 21])
def test_a_senseless_work_factor_is_refused_before_sealing(work_factor: int) -> None:
    with pytest.raises(ValueError, match="work factor"):
        ScryptRecipient("right", work_factor)


def test_an_empty_passphrase_seals_nothing() -> None:
    with pytest.raises(EmptyPassphraseError):
        ScryptRecipient("")


def test_recipients_that_do_not_go_together_are_refused() -> None:
    hybrid: HybridRecipient = HybridIdentity.generate().recipient
    curve: X25519Recipient = X25519Identity.generate().recipient
    passphrase = ScryptRecipient("right", 1)
    refused: list[tuple[list[Recipient], type[Exception]]] = [
        ([], NoRecipientsError),
        ([passphrase, passphrase], ScryptNotAloneError),
        ([curve, passphrase], ScryptNotAloneError),
        ([hybrid, passphrase], ScryptNotAloneError),
        ([curve, hybrid], MixedRecipientsError),
    ]
    for recipients, error in refused:
        with pytest.raises(error):
            seal_bytes(b"locked", recipients)
