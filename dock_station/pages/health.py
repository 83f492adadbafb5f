"""How the dock is: alarms, disk, clock, certificates, policy, and how much it keeps."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from dock_station import custody
from dock_station.catalogue import alarms, clips, units, uploads
from dock_station.catalogue.clips import Wanted
from dock_station.dock import Dock
from dock_station.pages.site import Site, asking_with
from dock_station.rights import Right
from evidence.certificates import load_certificate
from evidence.errors import MirrorcamError

EXPIRES_SOON = timedelta(days=30)


@dataclass(frozen=True)
class Disk:
    """The vault's disk, in bytes; `reserve` is what the dock never fills."""

    total: int
    free: int
    reserve: int

    @property
    def used_percent(self) -> int:
        """How much of the disk is used."""
        return round(100 * (self.total - self.free) / self.total)

    @property
    def is_full(self) -> bool:
        """Whether no clip is taken in any more."""
        return self.free <= self.reserve


def blueprint(site: Site) -> Blueprint:
    """Return the page `/health`."""
    pages = Blueprint("health", __name__)

    @pages.get("/health")
    def shown() -> ResponseReturnValue:
        asking_with(Right.SEE_HEALTH)
        dock = site.dock
        with dock.catalogue.reading() as connection:
            facts = {
                "alarms": alarms.still_open(connection),
                "clock_is_trusted": dock.custody.clock_is_trusted(connection),
                "clips_kept": clips.count(connection, Wanted()),
                "clips_held": clips.count(connection, Wanted(held=True)),
                "clips_deleted": clips.count(connection, Wanted(deleted=True)),
                "bytes_kept": clips.kept_bytes(connection),
                "units": len(units.everyone(connection)),
                "uploads": uploads.under_way(connection),
                "head": custody.head(connection),
            }
        usage = shutil.disk_usage(dock.folder.vault)
        return render_template(
            "health.html",
            **facts,
            now=dock.clock(),
            disk=Disk(usage.total, usage.free, dock.settings.vault_reserve_bytes),
            policy=_policy(dock),
            certificate_expires=_certificate_expires(dock),
            expires_soon=EXPIRES_SOON,
        )

    return pages


def _policy(dock: Dock) -> dict[str, object]:
    try:
        policy = dock.policy().policy
    except MirrorcamError as error:
        return {"wrong": str(error)}
    return {
        "name": policy.policy_id,
        "days": policy.retention_days,
        "low": policy.retention_min_days,
        "high": policy.retention_max_days,
    }


def _certificate_expires(dock: Dock) -> datetime:
    files = (dock.folder.tls_certificate_file, dock.folder.signer_certificate_file)
    return min(load_certificate(file).not_valid_after_utc for file in files)
