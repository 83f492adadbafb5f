"""Policies: the profiles that are shipped, the signature that puts one in force, and the way to the docks."""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path

from evidence.age import AgeError, parse_recipients
from evidence.errors import EnvironmentalError, ExitCode, MirrorcamError
from evidence.policy import SignedPolicy, check_not_older, decode, open_signed, read_signed
from evidence.signature import Signed
from evidence.strict import SchemaError
from provisioning.authority import AuthorityFolder
from provisioning.placing import SetUp, WouldOverwriteError, exclusively

PROFILES = ("bocholt", "nrw", "bundespolizei", "baden-wuerttemberg", "bayern")


class NoProfileError(MirrorcamError):
    """No profile of this name is shipped."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no profile '{name}': choose one of {', '.join(PROFILES)}, or give your own file.")


class PolicyFileError(MirrorcamError):
    """A town's own policy file does not fit its schema."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"The policy {source} cannot be signed: {reason}; correct it there.")


class UnfitRecipientsError(MirrorcamError):
    """No clip can be sealed to the station and the recovery key together."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"No policy can be signed for the keys of this authority. {reason}")


class SetByAuthorityError(MirrorcamError):
    """A policy file states what the authority adds itself."""

    def __init__(self, source: str, setting: str) -> None:
        super().__init__(f"The policy {source} states its {setting}: leave that out, the authority adds its own.")


class NoPolicyError(EnvironmentalError):
    """There is no signed policy in a folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing: sign a policy with 'mirrorcam-provision policy sign' first.")
        self.path = path


@dataclass(frozen=True)
class PolicySource:
    """The settings of a policy before it is signed: TOML without recipients, and where it came from."""

    name: str
    text: str


def profile(name: str) -> PolicySource:
    """Return a shipped profile; raises NoProfileError."""
    if name not in PROFILES:
        raise NoProfileError(name)
    text = resources.files("provisioning").joinpath("profiles", f"{name}.toml").read_text(encoding="utf-8")
    return PolicySource(name, text)


def policy_file(path: Path) -> PolicySource:
    """Return a town's own policy file; raises OSError."""
    return PolicySource(path.name, path.read_text(encoding="utf-8", errors="replace"))


def sign_first_policy(folder: AuthorityFolder, source: PolicySource) -> SetUp:
    """Put the first policy of an authority in force; raises WouldOverwriteError where another one is, else as below."""
    if folder.policy_file.exists() and folder.policy_file.read_bytes() != _completed(source, folder):
        raise WouldOverwriteError(folder.policy_file, "another policy is in force, which 'policy sign' would replace")
    return sign_policy(folder, source)


def sign_policy(folder: AuthorityFolder, source: PolicySource) -> SetUp:
    """Put a policy in force at the authority, sealed to its station and recovery keys; an earlier one is replaced.

    A crash in between leaves a policy whose signature does not fit, which nobody accepts; the next run finishes.
    Raises SetByAuthorityError, PolicyFileError, UnfitRecipientsError, NoAuthorityError or SigningKeyError.
    """
    try:
        parse_recipients(folder.recipients())  # without them it is no authority's folder
    except AgeError as error:
        raise UnfitRecipientsError(str(error)) from error
    setup = SetUp()
    with exclusively(folder.path):
        content = _completed(source, folder)
        try:
            decode(content)
        except SchemaError as error:
            raise PolicyFileError(source.name, error.reason) from error
        _place(setup, folder.policy_file, folder.policy_signer().signed(content))
    return setup


def publish_policy(folder: AuthorityFolder, into: Path, at: datetime) -> SetUp:
    """Copy the policy in force to a dock's or a unit's `policy.toml`, unless a newer one is there.

    Raises OlderPolicyError, NoPolicyError or as `open_signed` does.
    """
    setup = SetUp()
    document = policy_in_force(folder, at).document
    if into.exists():
        check_not_older(document.content, into.read_bytes())
    _place(setup, into, document)
    return setup


def policy_in_force(folder: AuthorityFolder, at: datetime) -> SignedPolicy:
    """Return the authority's own policy, its signature checked; raises NoPolicyError or as `open_signed` does."""
    try:
        document = read_signed(folder.policy_file)
    except FileNotFoundError as error:
        raise NoPolicyError(Path(error.filename)) from error
    return open_signed(document, folder.authority(), at)


def _completed(source: PolicySource, folder: AuthorityFolder) -> bytes:
    """Return the policy as it is signed: the one in force where it is just that one, else with the next serial."""
    recipients = folder.recipients()
    if not folder.policy_file.exists():
        return _with_additions(source, recipients, serial=1)
    in_force = folder.policy_file.read_bytes()
    serial = decode(in_force).serial
    same = _with_additions(source, recipients, serial=serial)
    return same if same == in_force else _with_additions(source, recipients, serial=serial + 1)


def _with_additions(source: PolicySource, recipients: tuple[str, ...], *, serial: int) -> bytes:
    # The source stands as it is, comments and sources of its values included: they are what a town signs.
    try:
        stated = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError:
        stated = {}  # decode() refuses it and says why
    for setting in ("recipients", "serial"):
        if setting in stated:
            raise SetByAuthorityError(source.name, setting)
    texts = "".join(f"    {json.dumps(recipient)},\n" for recipient in recipients)
    added = f"""
# The station key and the recovery key of this authority.
recipients = [
{texts}]

# How many policies this authority has signed: nobody takes one with a lower number than the one that he has.
serial = {serial}
"""
    return (source.text.rstrip("\n") + "\n" + added).encode()


def _place(setup: SetUp, path: Path, document: Signed) -> None:
    digest = hashlib.sha256(document.content).hexdigest()
    setup.replacement(path.with_name(path.name + ".crt"), document.certificate, "certificate of the policy signer")
    setup.replacement(path.with_name(path.name + ".sig"), document.signature, "signature of the policy")
    setup.replacement(path, document.content, f"policy, SHA-256 {digest[:16]}…")
