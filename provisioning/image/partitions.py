"""The card's partitions: their ids, always the same, and the whole card as genimage puts it together."""

from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid5

from provisioning.image.profiles import RECIPE, Profile
from provisioning.stock_programs import run

ROOT_MIB = 768
DATA_MIB = 64

_OURS = UUID("2d3f8f5e-6d1c-5b0a-9c55-4d6972726f72")
_NAMES = ("DISK", "FIRMWARE", "BOOT_A", "BOOT_B", "ROOT_A", "ROOT_B", "DATA", "DATA_FILES")
UUIDS = {name: str(uuid5(_OURS, name.lower().replace("_", "-"))) for name in _NAMES}


def write_data(profile: Profile, target: Path) -> None:
    """Write the data partition's file system, empty, to grow at the first start; raises ProgramFailedError."""
    target.unlink(missing_ok=True)
    # Blocks as on a whole card: of 64 MiB mke2fs makes a floppy's, which stay when it grows (mke2fs.conf(5)).
    options = f"lazy_itable_init=0,lazy_journal_init=0,hash_seed={UUIDS['DATA_FILES']},root_owner=0:0"
    run(
        *("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "mc-unit", "-m", "0", "-U", UUIDS["DATA_FILES"]),
        *("-E", options, str(target), f"{DATA_MIB}M"),
        environment={"E2FSPROGS_FAKE_TIME": str(profile.epoch), "SOURCE_DATE_EPOCH": str(profile.epoch)},
    )


def write_card(name: str, parts: Path, folder: Path) -> Path:
    """Put the partitions whose files are in `parts` together as `folder`/`name`.img; raises ProgramFailedError."""
    with TemporaryDirectory(dir=folder) as work:
        config, empty = Path(work) / "genimage.cfg", Path(work) / "root"
        config.write_text(card_config(name), encoding="utf-8")
        empty.mkdir()
        run(
            *("genimage", "--config", str(config), "--inputpath", str(parts), "--outputpath", str(folder)),
            *("--rootpath", str(empty), "--tmppath", str(Path(work) / "tmp")),
        )
    return folder / f"{name}.img"


def card_config(name: str) -> str:
    """Return what genimage puts `name`.img together by."""
    text = (RECIPE / "genimage.cfg").read_text(encoding="utf-8")
    for key, value in {"NAME": name, "ROOT_SIZE": f"{ROOT_MIB}M", **UUIDS}.items():
        text = text.replace(f"@{key}@", value)
    return text
