"""Faults while a clip is opened: a full disk, a death in the middle, a folder that is gone; no half film is left."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence.unsealing import OutputError, Sink, write_new_file
from tests.clips import Case, call, make_case


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("case"), clips=1)


def start(
    case: Case, output: Path | str, *, stdout: int = subprocess.PIPE, limit: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "evidence.cli", "open", str(case.clips[0].sealed_file)]
    command += ["--identity", str(case.key), "--output", str(output)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, preexec_fn=limit, check=False)


def test_a_disk_that_fills_up_leaves_nothing_and_is_one_sentence(case: Case, tmp_path: Path) -> None:
    def at_most_100_kb() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # Python ignores SIGXFSZ, so write() fails

    done = start(case, tmp_path / "clip.mp4", limit=at_most_100_kb)
    assert done.returncode == 5
    assert b"cannot be written (File too large)" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_device_behind_the_pipe_is_one_sentence(case: Case) -> None:
    with Path("/dev/full").open("wb") as full:
        done = start(case, "-", stdout=full.fileno())
    assert done.returncode == 5
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_full_device_is_told_by_every_command(case: Case) -> None:
    sealed = case.clips[0].sealed_file
    for arguments in (("inspect", sealed), ("verify", sealed, "--authority", case.authority)):
        command = [sys.executable, "-m", "evidence.cli", *map(str, arguments)]
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 5
        assert b"No space left on device" in done.stderr


def test_a_device_is_no_place_to_write_a_film_to(case: Case) -> None:
    done = start(case, "/dev/full")
    assert done.returncode == 1
    assert b"/dev/full exists already" in done.stderr


def test_a_folder_that_is_not_there_is_named(case: Case, tmp_path: Path) -> None:
    done = start(case, tmp_path / "no/clip.mp4")
    assert done.returncode == 5
    assert b"no/clip.mp4 cannot be written (No such file or directory)" in done.stderr


def test_a_death_in_the_middle_leaves_no_film_under_its_name(tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"

    def die(sink: Sink) -> None:
        sink.write(memoryview(b"half of it"))
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        write_new_file(output, die)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not output.exists()
    write_new_file(output, lambda sink: sink.write(memoryview(b"all of it")))
    assert output.read_bytes() == b"all of it"


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"

    def somebody_else_is_faster(sink: Sink) -> None:
        sink.write(memoryview(b"ours"))
        output.write_bytes(b"theirs")

    with pytest.raises(Exception, match="exists already"):
        write_new_file(output, somebody_else_is_faster)
    assert output.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [output]


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def break_the_file(sink: Sink) -> None:
        sink.write(memoryview(b"ours"))
        raise OSError(5, "Input/output error")

    with pytest.raises(OutputError, match="Input/output error"):
        write_new_file(tmp_path / "clip.mp4", break_the_file)
    assert list(tmp_path.iterdir()) == []


def test_a_clip_that_vanishes_is_named(case: Case, tmp_path: Path) -> None:
    gone = call("open", tmp_path / "x.mp4.age", "--identity", case.key, "--output", tmp_path / "clip.mp4")
    assert gone.returncode == 5
    assert "x.mp4.age is missing" in gone.stderr
