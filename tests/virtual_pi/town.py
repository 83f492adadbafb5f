"""The town that the virtual Pi belongs to: its authority, the data disks of unit and dock, a way to open clips."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from appliance.settings import UnitFolder
from dock_station.opening.keyslots import Keyslots
from dock_station.settings import DockFolder
from evidence.age import AgeError, HybridIdentity, open_bytes, open_stream
from tests.pki import Pki, dock_folder, policy_toml, write_policy
from tests.virtual_pi.cards import write_disk

DOCK_ADDRESS = "fd6d:6972:726f::1"
BAYS_PORT, PAGES_PORT = 8444, 8443
UNIT_ID, OTHER_UNIT_ID, DOCK_ID = "unit-7", "unit-8", "dock-1"
PRE_RECORD_SECONDS = 5
DISK_MEBIBYTES = 192

# What the emulated processor keeps up with.
CAMERA_SIZE = (320, 240)
PANEL = (800, 480)
SMALL_PANEL = (320, 240)  # for what is not about the screen: an emulated processor draws it in a fifth of the time
_RATES = {PANEL: 5, SMALL_PANEL: 10}  # pictures in a second, by what each costs to draw


def camera_settings(screen: tuple[int, int]) -> str:
    """Return what a unit with such a screen is told of its camera."""
    width, height = CAMERA_SIZE
    rate = f"frames_per_second = {_RATES[screen]}\nvideo_bits_per_second = 1_500_000\n"
    return f"video_width = {width}\nvideo_height = {height}\n{rate}"


@dataclass(frozen=True)
class Town:
    """One authority with a station key; each disk that it makes is new."""

    pki: Pki = field(default_factory=Pki)
    identity: HybridIdentity = field(default_factory=HybridIdentity.generate)

    def policy(self, *, more: str = "") -> str:
        """Return the policy: five seconds of pre-record, so that a test need not wait for long."""
        recipients = (str(self.identity.recipient),)
        return f"{policy_toml(recipients=recipients)}pre_record_seconds = {PRE_RECORD_SECONDS}\n{more}"

    def unit_folder(self, path: Path, screen: tuple[int, int]) -> UnitFolder:
        """Enrol the unit under `path`."""
        folder = UnitFolder(path)
        folder.data.mkdir(parents=True)
        dock_url = f"https://[{DOCK_ADDRESS}]:{BAYS_PORT}"
        folder.settings_file.write_text(
            f'unit_id = "{UNIT_ID}"\ndock_url = "{dock_url}"\nstorage_reserve_minutes = 1\n{camera_settings(screen)}'
            f"screen_width = {screen[0]}\nscreen_height = {screen[1]}\n"
        )
        self.pki.unit(UNIT_ID).write(folder.key_file, folder.certificate_file)
        folder.authority_file.write_bytes(self.pki.pem)
        write_policy(folder, self.pki, self.policy())
        return folder

    def write_unit_disk(self, target: Path, screen: tuple[int, int], *, mebibytes: int = DISK_MEBIBYTES) -> None:
        """Make the unit's data partition; `screen` is its panel's size."""
        with TemporaryDirectory(dir=target.parent) as name:
            self.unit_folder(Path(name), screen)
            write_disk(Path(name), target, label="mc-unit", mebibytes=mebibytes)

    def write_dock_disk(
        self, target: Path, *, mebibytes: int = DISK_MEBIBYTES, add: Callable[[DockFolder], None] = lambda folder: None
    ) -> None:
        """Make the dock's data partition; `add` puts more into its folder."""
        with TemporaryDirectory(dir=target.parent) as name:
            settings = "vault_reserve_bytes = 16_777_216\n"
            folder = dock_folder(Path(name), self.pki, dock_id=DOCK_ID, policy=self.policy(), settings=settings)
            text = folder.settings_file.read_text()
            text = text.replace(
                'bays_address = "127.0.0.1"\nbays_port = 0', f'bays_address = "::"\nbays_port = {BAYS_PORT}'
            )
            text = text.replace('pages_address = "127.0.0.1"\npages_port = 0', f"pages_port = {PAGES_PORT}")
            folder.settings_file.write_text(text)
            host_names = ("localhost", "127.0.0.1", "::1", DOCK_ADDRESS)
            folder.tls_key_file.unlink()
            self.pki.dock(DOCK_ID, host_names).write(folder.tls_key_file, folder.tls_certificate_file)
            # As `dock create` makes it: a machine may be cut off before its pages have.
            folder.session_key_file.write_text(token_hex(32))
            folder.session_key_file.chmod(0o600)
            folder.keyslots.mkdir(mode=0o700)
            Keyslots(folder.keyslots, work_factor=10).add("a-example", "a passphrase of some words", self.identity)
            add(folder)
            write_disk(Path(name), target, label="mc-dock", mebibytes=mebibytes)

    def opened(self, sealed: bytes) -> bytes:
        """Return a clip's film."""
        return open_bytes(sealed, [self.identity])

    def opened_up_to_the_cut(self, sealed: bytes) -> bytes:
        """Return as much of a clip's film as opens."""
        film = bytearray()
        with suppress(AgeError):
            open_stream(BytesIO(sealed), [self.identity], film.extend)
        return bytes(film)
