"""Our camera as it is, on libcamera's virtual camera: each picture is accounted for, from the sensor to the clip."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

from tests.virtual_pi.camera import add_camera
from tests.virtual_pi.cards import write_code_disk, write_disk
from tests.virtual_pi.figures import record
from tests.virtual_pi.initrd import write_initrd
from tests.virtual_pi.machine import Drive, Machine, kernel_of
from tests.virtual_pi.machines import Machines
from tests.virtual_pi.root import chosen_arch, ready_root
from tests.virtual_pi.stamps import Stamp
from tests.virtual_pi.talking import until
from tests.virtual_pi.unit_inside import PATIENCE, PLACE, Enrolled, Picture, UnitInside, running_unit

# What an emulated processor keeps up with.
WIDTH, HEIGHT, RATE = 320, 240, 10
PRE_RECORD = 5
SILENT_SECONDS = 3.0  # without a picture, after which appliance/cameras/picamera2.py gives the camera up
HEARING_RATE = 5  # a processor that has no time left for sound would say nothing of how it is stamped
POLICY = f"pre_record_seconds = {PRE_RECORD}\n"


class Bench(NamedTuple):
    """The machine, and who can open what its unit records."""

    machine: Machine
    enrolled: Enrolled


class Sensed(NamedTuple):
    """A line of the virtual sensor's log."""

    what: str
    number: int
    moment_us: int


@pytest.fixture(scope="module")
def bench(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    machines.switch_off()
    folder = tmp_path_factory.mktemp("camera")
    root = ready_root(chosen_arch())
    enrolled = Enrolled()
    write_initrd(root, folder / "initrd")
    write_code_disk(root, folder / "code.ext4", lambda tree: add_camera(tree, WIDTH, HEIGHT))
    enrolled.enrol(folder / "data/unit", policy=POLICY, settings=settings(RATE))
    enrolled.enrol(folder / "data/hearing", policy=f"{POLICY}record_audio = true\n", settings=settings(HEARING_RATE))
    write_disk(folder / "data", folder / "data.ext4", label="data", mebibytes=128)
    drives = [
        *(Drive(disk, is_written=False) for disk in (root.disk, folder / "code.ext4")),
        Drive(folder / "data.ext4", is_written=True),
    ]
    machine = Machine(root.arch, kernel_of(root, folder / "initrd"), drives, folder / "run")
    machine.start()
    try:
        machine.run(f"mkdir -p {PLACE} && mount /dev/vdc {PLACE}")
        yield Bench(machine, enrolled)
    finally:
        machine.stop()


def settings(rate: int) -> str:
    """Return a unit's settings for so many pictures a second."""
    size = f"video_width = {WIDTH}\nvideo_height = {HEIGHT}\n"
    return f"{size}frames_per_second = {rate}\nvideo_bits_per_second = 1_000_000\n"


def sensed(machine: Machine) -> list[Sensed]:
    """Return what the virtual sensor has done since its newest start."""
    lines = [line.split() for line in machine.read("/run/mirrorcam-rig/sensor.log").decode().splitlines()]
    read = [Sensed(what, int(number), int(moment)) for what, number, moment in lines]
    start = max(index for index, line in enumerate(read) if line.what == "start")
    return sorted(read[start + 1 :], key=lambda line: line.number)


def wait_for_pictures(machine: Machine, seconds: float) -> None:
    """Return when the sensor has been at work for `seconds` more."""
    begin = sensed(machine)[-1].number
    until(lambda: sensed(machine)[-1].number >= begin + seconds * RATE, seconds=PATIENCE, what="pictures", pause=0.5)


def stamps(pictures: list[Picture]) -> list[Stamp]:
    found = [picture.stamp for picture in pictures if picture.stamp is not None]
    assert len(found) == len(pictures), "a picture's stamp cannot be read"
    return found


def camera_program(machine: Machine, what: str) -> list[dict[str, Any]]:
    command = f"/opt/mirrorcam/bin/python3 -m mirrorcam_rig.camera_program {what} {WIDTH} {HEIGHT} {RATE}"
    output = machine.run(f"PYTHONPATH=/opt/mirrorcam/rig {command}", seconds=180)
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def recorded(bench: Bench, unit: UnitInside, *, count: int = 1) -> tuple[dict[str, Any], list[Picture]]:
    """End the running clip, and return what is stated of it and its pictures."""
    unit.say("hold 2.2")
    ended = unit.wait_for("recording_ended", count=count)
    return ended, bench.enrolled.clip(unit, ended).pictures()


def test_every_picture_of_the_sensor_is_in_the_clip_once(bench: Bench) -> None:
    with running_unit(bench.machine, "--camera", "picamera2") as unit:
        unit.wait_for("standby")
        wait_for_pictures(bench.machine, 3)
        unit.say("touch")
        unit.wait_for("first_durable")
        wait_for_pictures(bench.machine, 10)
        stated, pictures = recorded(bench, unit)
        log = sensed(bench.machine)
    numbers = [stamp.sequence for stamp in stamps(pictures)]
    within = [line for line in log if numbers[0] <= line.number <= numbers[-1]]
    delivered = [line.number for line in within if line.what == "picture"]
    assert numbers == delivered
    assert stated["frames_written"] == len(delivered)
    assert stated["frames_lost"] == len(within) - len(delivered)
    record(
        "camera",
        f"pictures delivered, in the clip, stated ({WIDTH}x{HEIGHT}, {RATE}/s)",
        f"{len(delivered)}, {len(numbers)}, {stated['frames_written']}; lost {stated['frames_lost']}",
        "all equal",
    )


def test_five_pictures_that_the_sensor_loses_are_stated_as_lost(bench: Bench) -> None:
    with running_unit(bench.machine, "--camera", "picamera2") as unit:
        unit.wait_for("standby")
        touched = unit.say("touch")
        unit.wait_for("first_durable")
        bench.machine.write("/run/mirrorcam-rig/lose", f"{touched + 5:.3f} 5\n".encode())
        wait_for_pictures(bench.machine, 8)
        stated, pictures = recorded(bench, unit)
        log = sensed(bench.machine)
    numbers = [stamp.sequence for stamp in stamps(pictures)]
    within = [line for line in log if numbers[0] <= line.number <= numbers[-1]]
    late = sum(line.what == "late" for line in within)
    assert [line.what for line in within].count("lost") == 5
    assert 6 in [later - earlier for earlier, later in pairwise(numbers)] or late
    assert stated["frames_lost"] == 5 + late
    record("camera", "pictures lost on purpose, stated as lost", f"5, {stated['frames_lost'] - late}", "5")


def test_the_clip_begins_as_long_before_the_touch_as_the_policy_says(bench: Bench) -> None:
    with running_unit(bench.machine, "--camera", "picamera2") as unit:
        unit.wait_for("standby")
        wait_for_pictures(bench.machine, PRE_RECORD + 3)
        before = unit.say("touch")
        begun = unit.wait_for("first_durable")
        _, pictures = recorded(bench, unit)
        started = unit.wait_for("recording_started")
        log = sensed(bench.machine)
    first = stamps(pictures)[0].moment_ms / 1000
    length = started["pre_record_seconds"]
    # The touch was after `before`. How long after nobody but the unit knows, and it states how much it had then.
    assert first >= before - PRE_RECORD
    touched = first + length
    assert PRE_RECORD - longest_gop(log, touched) - 1 / RATE <= length <= PRE_RECORD
    assert touched >= before - 0.05
    record(
        "camera",
        "first picture before the touch (the stamp against the clock before the touch; as stated)",
        f"{before - first:.2f} s; {length:.2f} s, durable after {begun['ms']} ms",
        f"{PRE_RECORD - 1} to {PRE_RECORD} s",
    )


def longest_gop(log: list[Sensed], touched: float) -> float:
    """Return how long a GOP took at most before the touch: a second, and longer where pictures were lost."""
    moments = [line.moment_us / 1e6 for line in log if line.what == "picture" and line.moment_us / 1e6 <= touched]
    return max(later - earlier for earlier, later in zip(moments, moments[RATE:], strict=False))


def test_five_starts_and_stops_leave_no_thread_and_no_descriptor(bench: Bench) -> None:
    cycles = camera_program(bench.machine, "restarts")
    assert len(cycles) == 5
    assert all(cycle["failures"] == [] and cycle["after_stop"] == 0 for cycle in cycles)
    assert all(cycle["threads"] == ["MainThread"] for cycle in cycles)
    # libcamera's manager goes when it is collected, others a moment later: a leak would leave one more each time.
    assert len(cycles[-1]["tasks"]) < len(cycles[0]["tasks"]) + 4, cycles
    # The first start loads what stays for the life of the process.
    assert [cycle["descriptors"] for cycle in cycles[1:]] == [cycles[1]["descriptors"]] * 4
    numbers = [number for cycle in cycles for number in cycle["numbers"]]
    assert numbers == sorted(set(numbers))
    counts = ", ".join(f"{len(cycle['tasks'])}/{len(cycle['descriptors'])}" for cycle in cycles)
    record("camera", "threads/descriptors after each of five stops", counts, "as after the first")


def test_a_camera_that_gives_no_more_pictures_says_so_and_comes_back(bench: Bench) -> None:
    (told,) = camera_program(bench.machine, "silence")
    assert told["told"] == 1
    assert "gives no more pictures" in str(told["sentence"])
    assert told["failures_after"] == []
    assert told["seconds"] >= SILENT_SECONDS
    record("camera", "error after the last picture, emulated", f"{told['seconds']:.2f} s", "3.0 to 3.5 s")


def test_a_unit_whose_camera_falls_silent_records_again_when_it_is_back(bench: Bench) -> None:
    with running_unit(bench.machine, "--camera", "picamera2") as unit:
        unit.wait_for("standby")
        bench.machine.run("touch /run/mirrorcam-rig/dark")
        fault = unit.wait_for("fault")
        assert fault["kind"] == "camera_failed"
        bench.machine.run("rm /run/mirrorcam-rig/dark")
        unit.wait_for("standby", count=2)
        unit.say("touch")
        unit.wait_for("first_durable")
        stated, pictures = recorded(bench, unit)
    assert stated["complete"]
    assert len(stamps(pictures)) == stated["frames_written"]


def test_a_key_frame_that_is_asked_for_is_one(bench: Bench) -> None:
    (told,) = camera_program(bench.machine, "key-frames")
    packets = [(number, is_key, bytes.fromhex(data)) for number, is_key, data in told["packets"]]
    asked_after = told["asked_after"]
    keys = [number for number, is_key, _ in packets if is_key]
    regular = max(number for number in keys if number <= asked_after) + RATE
    asked = min(number for number in keys if number > asked_after)
    assert asked < regular
    for _, is_key, data in packets:
        assert is_key == (5 in nal_types(data))
        assert not is_key or {7, 8} <= set(nal_types(data))
    record("camera", "pictures from asking to the key frame", str(asked - asked_after), f"fewer than {RATE}")


def nal_types(data: bytes) -> list[int]:
    """Return the types of an Annex B packet's units (H.264 §7.4.1): 5 is an IDR picture, 7 and 8 are SPS and PPS."""
    return [unit[0] & 31 for unit in data.split(b"\0\0\1")[1:]]


def test_sound_is_in_step_with_the_picture(bench: Bench) -> None:
    bench.machine.run("modprobe snd-aloop")
    microphone = ("--microphone", "alsa:hw:Loopback,1")
    with running_unit(bench.machine, "--camera", "picamera2", *microphone, folder="hearing") as unit:
        unit.wait_for("standby")
        unit.say("touch")
        unit.wait_for("first_durable")
        command = "PYTHONPATH=/opt/mirrorcam/rig /opt/mirrorcam/bin/python3 -m mirrorcam_rig.beeps 12"
        heard = [json.loads(line)["beep"] for line in bench.machine.run(command, seconds=240).splitlines()]
        unit.say("hold 2.2")
        clip = bench.enrolled.clip(unit, unit.wait_for("recording_ended"))
    pictures = clip.pictures()
    stamps(pictures)
    flashes = [later for earlier, later in pairwise(pictures) if later.is_flashing and not earlier.is_flashing]
    assert len(flashes) >= 5
    # The picture's own clock: where on the clip's time line a moment of the monotonic clock is.
    begin = median(moment_of(picture) - picture.seconds for picture in pictures)
    errors = [begin + beep - true for beep, true in paired(clip.beeps(), heard, begin)]
    assert len(errors) >= 5, (begin, clip.beeps(), heard)
    worst = max(errors, key=abs)
    record(
        "camera",
        f"sound after picture, {len(errors)} pairs: median, worst",
        f"{1000 * median(errors):+.0f} ms, {1000 * worst:+.0f} ms",
        "within 40 ms",
    )
    assert abs(worst) <= 0.040, errors


def paired(beeps: list[float], heard: list[float], begin: float) -> list[tuple[float, float]]:
    """Return the beeps in the clip with the true moment of each, which is never another second's."""
    near = [(min(beeps, key=lambda beep: abs(begin + beep - true)), true) for true in heard]
    return [(beep, true) for beep, true in near if abs(begin + beep - true) < 1]


def moment_of(picture: Picture) -> float:
    assert picture.stamp is not None
    return picture.stamp.moment_ms / 1000


def test_the_module_that_runs_is_the_one_of_this_checkout(bench: Bench) -> None:
    inside = bench.machine.read(
        bench.machine.run("ls /opt/mirrorcam/lib/python3.*/site-packages/appliance/cameras/picamera2.py").strip()
    )
    assert inside == (Path(__file__).parents[2] / "appliance/cameras/picamera2.py").read_bytes()
