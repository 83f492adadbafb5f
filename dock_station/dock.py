"""One dock, put together from its folder: what each of its processes and pages works with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from dock_station.catalogue import clips
from dock_station.catalogue.database import Catalogue
from dock_station.catalogue.schema import require_current
from dock_station.clock import since_boot, utc_now
from dock_station.custody import Custody
from dock_station.settings import DockFolder, DockSettings
from dock_station.vault import Vault
from evidence.certificates import Authority
from evidence.policy import SignedPolicy
from evidence.signature import Signer

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Dock:
    """The parts of one dock; `clock` is the wall clock in UTC."""

    folder: DockFolder
    settings: DockSettings
    catalogue: Catalogue
    vault: Vault
    custody: Custody
    signer: Signer
    clock: Clock

    @classmethod
    def open(cls, folder: DockFolder, clock: Clock = utc_now, since_boot: Callable[[], float] = since_boot) -> "Dock":
        """Put the dock together.

        Raises NotSetUpError, SchemaError, SigningKeyError, CatalogueError, SchemaOutdatedError or VaultMissingError.
        """
        dock = cls.open_unchecked(folder, clock, since_boot)
        require_current(dock.catalogue)
        dock.prepare_vault()
        return dock

    @classmethod
    def open_unchecked(
        cls, folder: DockFolder, clock: Clock = utc_now, since_boot: Callable[[], float] = since_boot
    ) -> "Dock":
        """Put the dock together even if its catalogue's tables are not there or not current: to migrate or examine.

        It changes nothing.
        """
        settings = folder.settings()
        signer = folder.signer()
        return cls(
            folder=folder,
            settings=settings,
            catalogue=Catalogue(folder.catalogue_url(settings)),
            vault=Vault(folder.vault, settings.vault_reserve_bytes),
            custody=Custody(signer, clock, since_boot),
            signer=signer,
            clock=clock,
        )

    def prepare_vault(self) -> None:
        """Create the vault's folders where they are not there yet; raises VaultMissingError where they should be."""
        with self.catalogue.reading() as connection:
            kept = clips.count(connection, clips.Wanted())
        self.vault.prepare(clips=kept)

    def authority(self) -> Authority:
        """Return the authority with its newest revocation list, as the files have it now."""
        return self.folder.authority()

    def policy(self) -> SignedPolicy:
        """Return the policy in force, as the files have it now."""
        return self.folder.policy(self.clock())

    def close(self) -> None:
        """Close the catalogue."""
        self.catalogue.close()
