"""The demo's town: its authority, dock, reviewer and unit, set up by the commands that a real town uses."""

from pathlib import Path

from provisioning.demo.processes import Program, run
from provisioning.demo.stage import ADDRESS, DOCK_ID, REVIEWER, TOWN, UNIT_ID, WEARER, Stage


def provision(stage: Stage) -> None:
    """Create authority, dock, reviewer and unit; raises CommandFailedError."""
    town, dock, unit = str(stage.town.path), str(stage.dock.path), str(stage.unit.path)
    run(
        "mirrorcam-provision", "authority", "create", town, "--town", TOWN, "--profile", "bocholt",
        "--reviewer", REVIEWER, "--reviewer-passphrase-file", "-", "--recovery-passphrase-file", "-",
        lines=(stage.secrets.passphrase, stage.secrets.recovery),
    )  # fmt: skip
    run(
        "mirrorcam-provision", "dock", "create", dock, "--authority", town, "--id", DOCK_ID, "--host", "localhost",
        "--address", ADDRESS, "--pages-port", str(stage.pages_port), "--bays-port", str(stage.bays_port),
    )  # fmt: skip
    run("mirrorcam-dock", "migrate", "--folder", dock)
    run(
        "mirrorcam-dock", "person", "add", REVIEWER, "--role", "evidence-officer", "--password-file", "-",
        "--folder", dock, lines=(stage.secrets.password,),
    )  # fmt: skip
    run(
        "mirrorcam-provision", "unit", "enrol", unit, "--authority", town, "--id", UNIT_ID,
        "--dock-url", stage.bays_url,
    )  # fmt: skip


def open_dock(stage: Stage) -> Program:
    """Start the dock, and return it when both of its doors are open; raises NothingHeardError."""
    dock = Program("mirrorcam-dock", "serve", "--folder", str(stage.dock.path), log=stage.path / "dock.log")
    try:
        for _ in ("bays", "pages"):
            dock.wait_for("listening")
    except BaseException:
        dock.end()
        raise
    return dock


def watch_retention(stage: Stage) -> Program:
    """Start the process that deletes what is over."""
    return Program("mirrorcam-dock", "retention", "--folder", str(stage.dock.path), log=stage.path / "retention.log")


def unit_arguments(stage: Stage, camera: str) -> tuple[str, ...]:
    """Return what starts the unit with this camera."""
    source = f"v4l2:{camera}" if camera.startswith("/dev/") else f"file:{Path(camera).absolute()}"
    return ("run", "--folder", str(stage.unit.path), "--camera", source, "--wearer", WEARER)
