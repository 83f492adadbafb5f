"""The command `mirrorcam-provision`: parse, call, print."""

import os
import re
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from appliance.settings import UnitFolder
from dock_station.settings import DockFolder
from evidence import commandline
from evidence.certificates import Authority, load_certificate
from evidence.commandline import examples, group
from evidence.identifiers import NAME_PATTERN
from evidence.policy import SignedPolicy, open_signed, read_signed
from provisioning.authority import AuthorityFolder, NoAuthorityError, create_authority
from provisioning.bundles.commands import bundle_app
from provisioning.card.commands import card_app, image_app
from provisioning.dock import DockPlan, check_own_dock, create_dock, renew_dock, revoke_dock, update_dock
from provisioning.enrolment import SigningDesk
from provisioning.install.command import install_dock
from provisioning.options import AuthorityOption
from provisioning.options import dock_url as check_dock_url
from provisioning.passphrases import PassphraseSource, TwoPassphrases
from provisioning.placing import SetUp
from provisioning.policies import PROFILES, NoPolicyError, policy_file, profile, sign_first_policy, sign_policy
from provisioning.printing import print_steps, say
from provisioning.station import Passphrases
from provisioning.units import (
    check_id_is_free,
    enrol_unit,
    enrolled_units,
    make_unit_key,
    read_request,
    reissue_unit,
    request_unit,
    revoke_unit,
    waits_for_reissue,
)

_OPEN = "Enrolment is open: put new units on the dock, and type their digits on its page Enrolment. Ctrl-C closes it."
_ONE_OF = f"A shipped policy: {', '.join(PROFILES)}."


app = group("""Set up a town's cameras: the authority, its docks, its units and their policy.

The order is: **authority create**, **dock create**, then **unit enrol** for the units. Every command can be run
again: it says what is there, makes what is missing and replaces nothing. Private keys are made in the folder where
they are used and are never shown.

    mirrorcam-provision authority create town --town Sampleton --profile bocholt --reviewer a-example
    mirrorcam-provision dock create dock --authority town --id town-hall --host dock.example
    mirrorcam-provision unit enrol unit --authority town --id unit-01 --dock-url https://dock.example:8444

**card write** puts an image on the card that a unit starts from; **image sign** says that it is yours; **bundle make**
and **bundle publish** bring a newer release to units by their dock.

Exit codes: 0 all is well; 1 it was refused; 2 wrong usage; 3 a policy, certificate or bundle is not the authority's;
5 a file is missing, or the disk refuses.
""")
authority_app = group("The town's root of trust: its certificate, its policy signer, its two keys.")
dock_app = group("The computer that takes clips in and keeps them.")
unit_app = group("The worn cameras: enrol them, list them, revoke a stolen one, have one enrolled again.")
policy_app = group("What units may do and how long the dock keeps clips.")
app.add_typer(authority_app, name="authority")
app.add_typer(dock_app, name="dock")
app.add_typer(unit_app, name="unit")
app.add_typer(policy_app, name="policy")
dock_app.command(
    "install",
    epilog=examples(
        "mirrorcam-provision dock install --administrator it-example",
        "mirrorcam-provision dock install --check",
        "mirrorcam-provision dock install --root /mnt/image",
    ),
)(install_dock)
app.add_typer(card_app, name="card")
app.add_typer(image_app, name="image")
app.add_typer(bundle_app, name="bundle")


def _name(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(NAME_PATTERN, text):
        raise typer.BadParameter("use lower case letters, digits and inner hyphens, 32 at most, as in 'unit-01'")
    return text


def _existing(directory: Path) -> AuthorityFolder:
    folder = AuthorityFolder(directory)
    if not folder.key_file.exists():
        raise NoAuthorityError(folder.key_file)
    return folder


IntoOption = Annotated[
    list[Path] | None,
    typer.Option("--into", metavar="DOCKDIR", help="Bring it to this dock's folder at once; may be given repeatedly."),
]


@authority_app.command(
    "create",
    epilog=examples(
        "mirrorcam-provision authority create town --town Sampleton --profile bocholt --reviewer a-example"
    ),
)
def _authority_create(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the authority is to be.")],
    town: Annotated[str, typer.Option(help="The town's name, as certificates will show it.")],
    reviewer: Annotated[str, typer.Option(callback=_name, help="The first person who may open clips (a short id).")],
    profile_name: Annotated[
        str | None,
        typer.Option("--profile", help=f"Its first policy: {', '.join(PROFILES)}; else bocholt."),
    ] = None,
    reviewer_passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the reviewer's passphrase from it ('-': stdin)."),
    ] = None,
    recovery_passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the recovery passphrase from it ('-': stdin).")
    ] = None,
) -> None:
    """Make an authority: certificate, policy signer, and the keys that clips are sealed to.

    The **station key** opens clips. It is sealed under the first reviewer's passphrase before it is written, so the
    reviewer must type it: IT never holds what opens a clip. The **recovery key** opens them too, should every
    passphrase be forgotten: somebody outside IT types its passphrase, and `recovery.age` is carried offline.
    """
    folder = AuthorityFolder(directory)
    source = profile(profile_name or "bocholt")
    asked = TwoPassphrases(
        PassphraseSource(
            reviewer,
            f"The reviewer {reviewer} now types a passphrase of 12 characters or more. IT looks away: it opens clips.",
            "--reviewer-passphrase-file",
            reviewer_passphrase_file,
        ),
        PassphraseSource(
            "the recovery key",
            "Somebody outside IT (the data protection officer, say) now types another one, for the recovery key.",
            "--recovery-passphrase-file",
            recovery_passphrase_file,
        ),
    )
    setup = create_authority(
        folder, town=town, reviewer=reviewer, passphrases=Passphrases(asked.reviewer, asked.recovery), at=_now()
    )
    if profile_name or not folder.policy_file.exists():
        setup.steps += sign_first_policy(folder, source).steps
    print_steps(setup)
    if folder.recovery_file.exists():
        say(f"Move {folder.recovery_file} to a medium that is kept offline, in two places.")


@dock_app.command(
    "create",
    epilog=examples(
        "mirrorcam-provision dock create dock --authority town --id town-hall --host dock.example --host 192.0.2.7"
    ),
)
def _dock_create(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the dock's files are to be.")],
    authority: AuthorityOption,
    dock_id: Annotated[str, typer.Option("--id", callback=_name, help="The dock's id, as in 'town-hall'.")],
    hosts: Annotated[
        list[str], typer.Option("--host", help="A name or address the dock answers for; may be given repeatedly.")
    ],
    pages_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the pages (8443).")] = None,
    bays_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port the units call (8444).")] = None,
    address: Annotated[str | None, typer.Option(help="The address to listen on (all of them).")] = None,
) -> None:
    """Set up a dock: TLS and signing keys made in place, their certificates, the policy, the reviewers' keyslots.

    Browsers accept the dock once `authority.crt` is among the authorities they trust. Its TLS certificate lasts 825
    days; `dock renew` gives it a new one.
    """
    plan = DockPlan(dock_id, tuple(hosts), pages_port, bays_port, address)
    print_steps(create_dock(DockFolder(directory), _existing(authority), plan, _now()))


@dock_app.command("update")
def _dock_update(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The dock's folder.")], authority: AuthorityOption
) -> None:
    """Bring a dock the newest policy and the newest list of revoked certificates."""
    print_steps(update_dock(DockFolder(directory), _existing(authority), _now()))


@dock_app.command("renew")
def _dock_renew(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The dock's folder.")], authority: AuthorityOption
) -> None:
    """Give a dock a new TLS certificate for the key that it has; a dock at work takes it up by itself."""
    print_steps(renew_dock(DockFolder(directory), _existing(authority), _now()))


@dock_app.command("revoke")
def _dock_revoke(
    dock_id: Annotated[str, typer.Argument(metavar="ID", callback=_name, help="The dock, as in 'town-hall'.")],
    authority: AuthorityOption,
    into: IntoOption = None,
) -> None:
    """Take a dock's trust away, for good: one whose disk was stolen, say. Its id is given to no other.

    Units learn of it at the next docking at a dock of `--into`, and from then on hand the revoked one nothing. What it
    had taken in before counts as it did.

    mirrorcam-provision dock revoke town-hall --authority town --into annex
    """
    folder = _existing(authority)
    _check_docks(folder, into)
    setup = revoke_dock(folder, dock_id, _now())
    _update_docks(setup, folder, into)
    print_steps(setup)


@unit_app.command(
    "enrol",
    epilog=examples(
        "mirrorcam-provision unit enrol --authority town --dock dock",
        "mirrorcam-provision unit enrol unit --authority town --id unit-01 --dock-url https://dock.example:8444",
        "mirrorcam-provision unit enrol for-unit-02 --authority town --request unit.csr --dock-url https://dock.example:8444",
    ),
)
def _unit_enrol(
    authority: AuthorityOption,
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The unit's folder, for one unit that is enrolled by hand.")
    ] = None,
    dock: Annotated[
        Path | None,
        typer.Option("--dock", metavar="DOCKDIR", help="Keep this dock's enrolment open for new units, until Ctrl-C."),
    ] = None,
    dock_url: Annotated[
        str | None,
        typer.Option(callback=check_dock_url, help="Where units find the bays, as in https://dock.example:8444."),
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0.001, max=24, help="With --dock: when it ends by itself, should nobody end it.")
    ] = 8.0,
    unit_id: Annotated[str | None, typer.Option("--id", callback=_name, help="The unit's id, as in 'unit-01'.")] = None,
    request: Annotated[
        Path | None, typer.Option(metavar="FILE.csr", help="What 'unit request' made, for a unit that is elsewhere.")
    ] = None,
) -> None:
    """Enrol new units at a dock as they come, or one unit by hand.

    **With --dock** it keeps the enrolment of that dock open as long as it runs, for the morning say: each new unit that
    is put on the dock shows six digits, IT types them on the dock's page Enrolment, and this command signs. The
    authority's key stays here; with the command the door closes. The bays' address is taken from dock.toml.

    **With DIR** the key of one unit is made in its own folder, and the authority certifies it. For a unit that is
    elsewhere, run `unit request` there, bring its `unit.csr` here, and bring what this command puts into DIR back to
    the unit's folder: the key never travels.
    """
    if (directory is None) == (dock is None):
        raise typer.BadParameter("give either --dock, or the folder of one unit")
    if dock is not None:
        if unit_id is not None or request is not None:
            raise typer.BadParameter("with --dock, ids are given on the dock's page", param_hint="--id, --request")
        _enrol_at_the_dock(_existing(authority), DockFolder(dock), dock_url, timedelta(hours=hours))
    elif dock_url is None:
        raise typer.BadParameter("say where the unit finds its dock", param_hint="--dock-url")
    elif directory is not None:
        _enrol_by_hand(_existing(authority), UnitFolder(directory), dock_url, unit_id, request)


def _enrol_at_the_dock(authority: AuthorityFolder, dock: DockFolder, dock_url: str | None, longest: timedelta) -> None:
    desk = SigningDesk(authority, dock, dock_url, _now)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    timer = threading.Timer(longest.total_seconds(), stop.set)
    timer.daemon = True
    timer.start()
    enrolled = 0
    for done in desk.run(stop, lambda: say(_OPEN)):
        enrolled += done.refusal is None
        say(f"{done.unit_id}  refused: {done.refusal}" if done.refusal else f"{done.unit_id}  certificate issued")
    timer.cancel()
    say(f"Enrolment is closed; {enrolled} {'unit' if enrolled == 1 else 'units'} enrolled.")


def _enrol_by_hand(
    authority: AuthorityFolder, folder: UnitFolder, dock_url: str, unit_id: str | None, request: Path | None
) -> None:
    authority.issuer()  # before a key is made for nothing
    setup = SetUp()
    if request is not None:
        enrolment = read_request(request)
        _name(enrolment.unit_id)
        if unit_id not in {None, enrolment.unit_id}:
            raise typer.BadParameter(f"the request is for '{enrolment.unit_id}'", param_hint="--id")
    elif unit_id is not None:
        check_id_is_free(authority, unit_id, folder)
        setup, enrolment = make_unit_key(folder, unit_id)
    else:
        raise typer.BadParameter("give --id, or --request for a unit that is elsewhere")
    setup.steps += enrol_unit(folder, authority, enrolment, dock_url, _now()).steps
    print_steps(setup)


@unit_app.command("request")
def _unit_request(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The unit's folder.")],
    unit_id: Annotated[str, typer.Option("--id", callback=_name, help="The unit's id, as in 'unit-01'.")],
) -> None:
    """On the unit itself: make its key, and a request to be enrolled that may travel."""
    print_steps(request_unit(UnitFolder(directory), unit_id))


@unit_app.command("revoke")
def _unit_revoke(
    unit_id: Annotated[str, typer.Argument(metavar="ID", help="The unit, as in 'unit-01'.")],
    authority: AuthorityOption,
    into: IntoOption = None,
) -> None:
    """Take a unit's trust away, for good: a stolen one, say.

    mirrorcam-provision unit revoke unit-01 --authority town --into dock
    """
    folder = _existing(authority)
    _check_docks(folder, into)
    setup = revoke_unit(folder, unit_id, _now())
    _update_docks(setup, folder, into)
    print_steps(setup)


@unit_app.command("reissue")
def _unit_reissue(
    unit_id: Annotated[str, typer.Argument(metavar="ID", help="The unit, as in 'unit-01'.")],
    authority: AuthorityOption,
    into: IntoOption = None,
) -> None:
    """Have a unit enrolled once more under its id: one that was wiped or repaired, or whose certificate ends.

    Its certificate is revoked, and the next enrolment may have the id. The unit goes on with the chain of its clips
    from where the dock has it. Not for a stolen one: that is `unit revoke`.

    mirrorcam-provision unit reissue unit-01 --authority town --into dock
    """
    folder = _existing(authority)
    _check_docks(folder, into)
    setup = reissue_unit(folder, unit_id, _now())
    _update_docks(setup, folder, into)
    print_steps(setup)


@unit_app.command("list")
def _unit_list(authority: AuthorityOption) -> None:
    """Show every unit that the authority has enrolled, and which are revoked.

    How each is, and when it was last seen, its dock knows: `mirrorcam-dock unit list --folder dock`.
    """
    table = Table("unit", "serial number", "valid until", "state")
    folder = _existing(authority)
    for unit in enrolled_units(folder):
        ends = f"{unit.certificate.not_valid_after_utc:%Y-%m-%d}"
        state = f"revoked {unit.revoked_at:%Y-%m-%d}" if unit.revoked_at else "trusted"
        if waits_for_reissue(folder, unit):
            state += ", to be enrolled again"
        table.add_row(unit.unit_id, f"{unit.certificate.serial_number:x}", ends, state)
    Console().print(table)


@policy_app.command(
    "sign", epilog=examples("mirrorcam-provision policy sign --authority town --profile nrw --into dock")
)
def _policy_sign(
    authority: AuthorityOption,
    profile_name: Annotated[str | None, typer.Option("--profile", help=_ONE_OF)] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="The town's own policy instead.")] = None,
    into: IntoOption = None,
) -> None:
    """Sign a policy and put it in force; units get it from the dock when they next dock.

    The recipients are the authority's own and do not stand in the file. `policy show --profile NAME` prints a
    profile to begin your own with.
    """
    if (profile_name is None) == (file is None):
        raise typer.BadParameter("give either --profile or --file")
    source = profile(profile_name) if profile_name else policy_file(file or Path())
    folder = _existing(authority)
    _check_docks(folder, into)
    setup = sign_policy(folder, source)
    _update_docks(setup, folder, into)
    print_steps(setup)


@policy_app.command("show")
def _policy_show(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The folder of an authority, a dock or a unit.")
    ] = None,
    profile_name: Annotated[str | None, typer.Option("--profile", help="Print this profile, with its sources.")] = None,
) -> None:
    """Show the policy in force in a folder, its signature checked; or print a profile.

    mirrorcam-provision policy show dock

    mirrorcam-provision policy show --profile bundespolizei
    """
    if (profile_name is None) == (directory is None):
        raise typer.BadParameter("give either a folder or --profile")
    if profile_name:
        typer.echo(profile(profile_name).text, nl=False)
    elif directory:
        _print_policy(_signed_policy(directory))


def _signed_policy(directory: Path) -> SignedPolicy:
    try:
        document = read_signed(directory / "policy.toml")
    except FileNotFoundError as error:
        raise NoPolicyError(Path(error.filename)) from error
    return open_signed(document, Authority(load_certificate(directory / "authority.crt")), _now())


def _print_policy(signed: SignedPolicy) -> None:
    table = Table("setting", "value", title=f"Policy {signed.policy.policy_id}", title_justify="left")
    for name in signed.policy.__struct_fields__:
        value = getattr(signed.policy, name)
        if name == "recipients":
            value = "\n".join(f"{recipient[:24]}… ({len(recipient)} characters)" for recipient in value)
        table.add_row(name, str(value))
    table.add_row("SHA-256", signed.sha256)
    Console().print(table)
    say("The signature is the authority's policy signer's.")


def _check_docks(authority: AuthorityFolder, docks: list[Path] | None) -> None:
    """Look at every dock before anything is changed: a half of the docks is not where a command may end."""
    for dock in docks or []:
        check_own_dock(DockFolder(dock), authority)


def _update_docks(setup: SetUp, authority: AuthorityFolder, docks: list[Path] | None) -> None:
    for dock in docks or []:
        setup.steps += update_dock(DockFolder(dock), authority, _now()).steps


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> NoReturn:
    """Run the command."""
    os.umask(0o022)  # what is public in a set-up is for the dock's user too; what is private says so itself
    commandline.run(app, "mirrorcam-provision")


if __name__ == "__main__":
    main()
