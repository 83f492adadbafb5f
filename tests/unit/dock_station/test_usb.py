"""What the real udev library tells of USB devices that come and go, each in a process whose devices umockdev makes."""

import subprocess
import sys
from pathlib import Path

import pytest

from dock_station.bays.usb import NoUdevError, require_udev
from tests.conftest import ROOT
from tests.dock import PATIENCE

BEGINNING = """
from dock_station.bays.usb import GADGET, udev
from tests.usb import Bench
bench = Bench()
"""


def run(scene: str) -> list[str]:
    """Play a scene with devices of its own, and return the lines that it prints."""
    command = ["umockdev-wrapper", sys.executable, "-c", BEGINNING + scene]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_units_that_are_there_and_those_that_come_are_told_with_port_and_serial() -> None:
    told = run("""
bench.plug_in_unit("1-1.1", "unit-1")
with udev() as usb:
    print(*((each.port, each.serial) for each in usb.present()))
    bench.plug_in_unit("1-1.3", "unit-3")
    news = usb.wait(20)
    print((news.port, news.serial))
    print(*sorted(each.port for each in usb.present()))
""")
    assert told == ["('1-1.1', 'unit-1')", "('1-1.3', 'unit-3')", "1-1.1 1-1.3"]


def test_what_came_before_anyone_looked_is_not_missed() -> None:
    told = run("""
with udev() as usb:
    bench.plug_in_unit("1-1.2", "unit-2")
    print([each.port for each in usb.present()], usb.wait(20).port)
""")
    assert told == ["['1-1.2'] 1-1.2"]


def test_the_end_of_a_device_is_told_by_its_place_and_a_silence_by_nothing() -> None:
    told = run("""
place = bench.plug_in_unit("1-1.3", "unit-3")
with udev() as usb:
    bench.take_out(place)
    heard = [usb.wait(20)]
    while news := usb.wait(0.2):  # newer releases of umockdev tell of an end twice
        heard.append(news)
    print({each.sys_path for each in heard} == {place}, usb.present())
""")
    assert told == ["True []"]


@pytest.mark.parametrize("name", ["ID_VENDOR_ID", "ID_MODEL_ID", "ID_VENDOR"])
def test_a_device_that_does_not_name_itself_as_a_unit_is_none(name: str) -> None:
    told = run(f"""
bench.plug_in("1-1.4", {{**GADGET, {name!r}: "another", "ID_SERIAL_SHORT": "unit-4"}})
with udev() as usb:
    bench.plug_in("1-1.5", {{**GADGET, {name!r}: "another", "ID_SERIAL_SHORT": "unit-5"}})
    print(usb.present(), usb.wait(20))
""")
    assert told == ["[] None"]


def test_a_unit_without_a_serial_is_told_without_one() -> None:
    told = run("""
bench.plug_in("1-1.6", GADGET)
with udev() as usb:
    print(*((each.port, each.serial) for each in usb.present()))
""")
    assert told == ["('1-1.6', '')"]


def test_a_computer_on_which_udev_does_not_run_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NoUdevError, match="udev does not run here"):
        require_udev(tmp_path / "control")
    (tmp_path / "control").touch()
    require_udev(tmp_path / "control")
