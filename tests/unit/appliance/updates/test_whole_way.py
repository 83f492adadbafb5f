"""An update from a dock's folder to its confirmation: a real dock, a real bundle, RAUC's own word, two starts."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.docking.client import DockClient
from appliance.docking.tls import context_for
from appliance.journal import Journal
from appliance.updates.installing import Installing
from appliance.updates.notes import Notes
from appliance.updates.places import UpdatePlaces
from appliance.updates.raspberry_pi import RaspberryPi
from appliance.updates.rauc import Rauc
from appliance.updates.signs import Sign, Signs
from appliance.updates.slots import Slot
from appliance.updates.trial import TrialWatch
from appliance.updates.update_journal import UpdateJournal
from appliance.updates.updating import Updating
from dock_station.catalogue import units, updates
from dock_station.catalogue.updates import Told
from dock_station.updates.standing import read_updates
from evidence.docking import Outcome, UpdateOffer
from evidence.release import Installed, Release
from tests.dock import RunningDock, running_dock, until
from tests.signed_bundles import COMPATIBLE, NEWER, RUNS, make_bundle, rauc_config
from tests.unit.appliance.updates.bench import AUTOBOOT
from tests.worn import Worn, enrol


class Start:
    """A unit from one start to the next, in a slot; `rauc install` is a script, for it wants a device's kernel."""

    def __init__(self, folder: Path, worn: Worn, slot: Slot, release: str) -> None:
        self.worn = worn
        self.places = UpdatePlaces(worn.installation.folder.path)
        self.signs = Signs(folder / "signs")
        self.running = Installed(Release.parse(release), COMPATIBLE)
        self.choice = RaspberryPi(folder / "autoboot.txt", booted=lambda: slot)
        self.restarts: list[str | None] = []
        (folder / "signs").mkdir(exist_ok=True)
        self.config = rauc_config(folder / "system.conf", worn.installation.folder.authority_file)
        self.program = folder / "rauc"
        self.program.write_text('#!/bin/sh\n[ "$1" = install ] || exec /usr/bin/rauc "$@"\n')
        self.program.chmod(0o755)

    @contextmanager
    def docked(self) -> Iterator[None]:
        self.worn.offload()
        updating = Updating(
            self.places,
            running=self.running,
            spool=self.worn.installation.spool,
            bits_per_second=8_000_000,
            signs=self.signs,
            open_dock=self._dock,
            journal=Journal(),
            turn_seconds=0.01,
        )
        is_stopping = threading.Event()
        thread = threading.Thread(target=updating.run, args=(is_stopping, lambda _: None))
        thread.start()
        try:
            yield
        finally:
            is_stopping.set()
            thread.join()

    def _dock(self) -> DockClient:
        installation = self.worn.installation
        context = context_for(installation.folder, installation.authority)
        return DockClient(installation.settings.dock_url, context, "mirrorcam test")

    def install(self) -> None:
        Installing(
            self.places,
            running=self.running,
            choice=self.choice,
            signs=self.signs,
            rauc=Rauc(self.config, str(self.program)),
            journal=UpdateJournal(),
            restart=self.restarts.append,
        ).run()

    def watch(self) -> None:
        TrialWatch(
            self.places,
            running=self.running,
            choice=self.choice,
            signs=self.signs,
            journal=UpdateJournal(),
            restart=self.restarts.append,
        ).run()


def told_of(dock: RunningDock) -> list[Told]:
    with dock.dock.catalogue.reading() as connection:
        return updates.everyone(connection)


def test_what_the_dock_offers_is_installed_tried_confirmed_and_told(tmp_path: Path) -> None:
    with running_dock(tmp_path) as dock:
        bundle = make_bundle(tmp_path / "bundle.raucb", dock.pki).read_bytes()
        offer = UpdateOffer(
            release=NEWER, compatible=COMPATIBLE, bytes=len(bundle), sha256=hashlib.sha256(bundle).hexdigest()
        )
        files = dock.dock.folder.updates
        files.prepare()
        files.bundle(offer.sha256).write_bytes(bundle)
        files.write_offer(offer)
        (tmp_path / "autoboot.txt").write_text(AUTOBOOT)
        url = f"https://localhost:{dock.port}"
        worn = Worn.open(enrol(tmp_path / "unit", dock.pki, url, settings="storage_reserve_minutes = 0"))

        before = Start(tmp_path, worn, Slot.A, RUNS)
        with before.docked():
            until(lambda: before.signs.is_given(Sign.PERMIT))
            before.install()
        assert before.restarts == ["0 tryboot"]
        assert before.choice.permanent() is Slot.A

        trial = Start(tmp_path, worn, Slot.B, NEWER)
        for sign in (Sign.CAMERA, Sign.SCREEN, Sign.DOCK):
            trial.signs.give(sign)
        with trial.docked():
            trial.watch()
            until(lambda: bool(told_of(dock)))
        assert trial.restarts == []
        assert trial.choice.permanent() is Slot.B
        (told,) = told_of(dock)
        assert (told.release, told.outcome) == (NEWER, Outcome.CONFIRMED)


def test_why_a_unit_does_not_take_an_update_is_seen_at_the_dock_until_one_is_confirmed(tmp_path: Path) -> None:
    with running_dock(tmp_path) as dock:
        offer = UpdateOffer(release=NEWER, compatible="mirrorcam-raspios", bytes=1, sha256="0" * 64)
        dock.dock.folder.updates.prepare()
        dock.dock.folder.updates.write_offer(offer)
        (tmp_path / "autoboot.txt").write_text(AUTOBOOT)
        url = f"https://localhost:{dock.port}"
        worn = Worn.open(enrol(tmp_path / "unit", dock.pki, url, settings="storage_reserve_minutes = 0"))
        start = Start(tmp_path, worn, Slot.A, RUNS)
        with start.docked():
            until(lambda: bool(told_of(dock)))
        (told,) = told_of(dock)
        reason = f"The update was refused: it is for mirrorcam-raspios, and this unit is {COMPATIBLE}."
        assert (told.release, told.outcome, told.reason) == (NEWER, Outcome.REFUSED, reason)
        with dock.dock.catalogue.reading() as connection:
            found = read_updates(connection, dock.dock.folder.updates)
            assert [found.of(unit).waiting for unit in units.everyone(connection)] == [None]
        Notes(start.places).conclude(NEWER, Outcome.CONFIRMED, "Camera, screen and dock were reached.")
        with start.docked():
            until(lambda: told_of(dock)[0].outcome == Outcome.CONFIRMED)
