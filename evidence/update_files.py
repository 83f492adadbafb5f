"""The folder of a dock in which IT puts the bundle that is handed on to units, and what the dock reads of it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from evidence.docking import UpdateOffer
from evidence.durable import sync_folder, write_durably
from evidence.strict import read_json, write_json

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class UpdateFiles:
    """The folder `updates/` of a dock: one bundle under its digest's name, and the offer that says which.

    Contract: the offer is written when its bundle is there, whole and durable, and taken away before it. Which bundles
    may be there stands in a list that is written before any of them gets its name, so that each is removed by name,
    also after a crash at any line.
    """

    path: Path

    @property
    def offer_file(self) -> Path:
        """What is offered; there is no such file while nothing is."""
        return self.path / "offer.json"

    @property
    def unfinished_file(self) -> Path:
        """A bundle that is being put here; what an interrupted command leaves is written over by the next one."""
        return self.path / "bundle.unfinished"

    @property
    def list_file(self) -> Path:
        """The digests of all bundles that may be here, one a line."""
        return self.path / "bundles.txt"

    def prepare(self) -> None:
        """Make the folder where it is missing; whoever makes it, it belongs to the dock's user."""
        owner = self.path.parent.stat()
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(self.path, owner.st_uid, owner.st_gid)
            sync_folder(self.path.parent)

    def bundle(self, sha256: str) -> Path:
        """Return where the bundle with this digest (64 hex digits) is."""
        return self.path / f"{sha256}.raucb"

    def offer(self) -> UpdateOffer | None:
        """Return what is offered, None where nothing is; raises SchemaError or OSError."""
        try:
            content = self.offer_file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return read_json(content, UpdateOffer, "offer")

    def write_offer(self, offer: UpdateOffer) -> None:
        """Offer a bundle that is there."""
        write_durably(self.offer_file, write_json(offer))

    def listed(self) -> tuple[str, ...]:
        """Return the digests of the bundles that may be here."""
        try:
            return tuple(_DIGEST.findall(self.list_file.read_text(encoding="ascii", errors="replace")))
        except FileNotFoundError:
            return ()

    def write_list(self, *digests: str) -> None:
        """Note which bundles may be here from now on."""
        write_durably(self.list_file, "".join(f"{digest}\n" for digest in digests).encode())
