"""What can be wrong with a unit's folder, camera or film: one clear sentence, an exit code, and nothing touched."""

import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from appliance.installation import Installation
from appliance.settings import UnitFolder
from appliance.unit import CAMERA_RETRIES, CAMERA_RETRY_SECONDS
from tests.cameras import film
from tests.dock import running_dock, until
from tests.pki import Pki, policy_toml, write_policy
from tests.unit_process import UnitProcess, call, environment, running_unit
from tests.worn import RECIPIENT, Worn, enrol

NO_DOCK = "https://localhost:1"


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    return enrol(tmp_path / "unit", Pki(), NO_DOCK)


def sentence_of(folder: Path, *options: str | Path, camera: str = "auto") -> tuple[int, str]:
    """Run the unit, which must refuse at once; return its exit code and the one sentence that it said."""
    refused = call("run", "--folder", folder, "--headless", "--camera", camera, *options)
    assert "Traceback" not in refused.stderr
    assert refused.stderr.startswith("mirrorcam-unit: ")
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.endswith(".\n")
    return refused.returncode, refused.stderr.removeprefix("mirrorcam-unit: ").rstrip("\n")


class TestTheFolder:
    def test_that_is_missing(self, tmp_path: Path) -> None:
        assert sentence_of(tmp_path / "none") == (
            5,
            f"{tmp_path}/none/unit.toml is missing: enrol this unit with 'mirrorcam-provision unit enrol' first.",
        )

    @pytest.mark.parametrize("name", ["unit.key", "unit.crt", "authority.crt"])
    def test_without_one_of_its_files(self, folder: UnitFolder, name: str) -> None:
        (folder.path / name).unlink()
        code, sentence = sentence_of(folder.path)
        assert (code, sentence) == (
            5,
            f"{folder.path / name} is missing: enrol this unit with 'mirrorcam-provision unit enrol' first.",
        )

    @pytest.mark.parametrize("name", ["unit.key", "authority.crt"])
    def test_with_a_damaged_key_or_certificate(self, folder: UnitFolder, name: str) -> None:
        (folder.path / name).write_text("nonsense")
        code, sentence = sentence_of(folder.path)
        assert code == 5
        assert f"{name} cannot be read" in sentence

    def test_with_a_setting_that_does_not_exist(self, folder: UnitFolder) -> None:
        with folder.settings_file.open("a") as file:
            file.write("flash = true\n")
        code, sentence = sentence_of(folder.path)
        assert (code, "'flash'" in sentence) == (5, True)

    def test_with_a_damaged_note_of_the_spool_and_a_damaged_twin(self, folder: UnitFolder) -> None:
        for name in ("spool.json", "spool.twin.json"):
            (folder.data / name).write_text("{")
        code, sentence = sentence_of(folder.path)
        assert (code, "spool.json is damaged" in sentence) == (5, True)


class TestThePolicy:
    """One that cannot be used at the start: nothing is recorded, the wearer reads why, and a dock can bring another."""

    @pytest.mark.parametrize("name", ["policy.toml", "policy.toml.sig"])
    def test_that_is_missing(self, folder: UnitFolder, name: str) -> None:
        (folder.path / name).unlink()
        self.is_not_ready(folder, f"{folder.path / name} is missing")

    def test_that_was_changed_after_it_was_signed(self, folder: UnitFolder) -> None:
        with folder.policy_file.open("a") as file:
            file.write("mirror = false\n")
        self.is_not_ready(
            folder, "The signature of this policy does not fit it: it was changed or signed by another key."
        )

    def test_of_another_authority(self, folder: UnitFolder) -> None:
        write_policy(folder, Pki(name="Another town"), policy_toml())
        self.is_not_ready(folder, "another authority issued it")

    def test_that_asks_for_more_than_any_unit_allows(self, tmp_path: Path) -> None:
        greedy = policy_toml(recipients=(str(RECIPIENT),)) + "pre_record_seconds = 121\n"
        self.is_not_ready(enrol(tmp_path / "unit", Pki(), NO_DOCK, policy=greedy), "pre_record_seconds")

    @pytest.mark.parametrize("wrong", ["revoked", "missing", "damaged on its way"])
    def test_is_another_one_after_the_next_docking(self, tmp_path: Path, wrong: str) -> None:
        with running_dock(tmp_path) as dock:
            folder = enrol(tmp_path / "unit", dock.pki, f"https://localhost:{dock.port}")
            if wrong == "revoked":
                dock.pki.revoke(x509.load_pem_x509_certificate(folder.policy().document.certificate))
                folder.keep_revocations(dock.pki.revocations_pem())
            elif wrong == "missing":
                folder.policy_file.unlink()
            else:
                (folder.path / "policy.arriving").write_text("{")
            newer = policy_toml(recipients=(str(RECIPIENT),)).replace('"test"', '"newer"')
            write_policy(dock.dock.folder, dock.pki, newer)
            with running_unit(folder.path, "--headless") as unit:
                assert unit.wait_for("fault")["kind"] == "not_ready"
                unit.say("dock")
                unit.wait_for("offloaded")
                unit.say("undock")
                unit.wait_for("standby")
                unit.record()
            assert folder.policy().policy.policy_id == "newer"

    def is_not_ready(self, folder: UnitFolder, words: str) -> None:
        with running_unit(folder.path, "--headless") as unit:
            assert unit.wait_for("started")["policy_id"] == "none"
            fault = unit.wait_for("fault")
            assert fault["kind"] == "not_ready"
            assert words in fault["sentence"]
            unit.say("touch")
            assert unit.wait_for("fault", count=2)["kind"] == "clip_refused"
            unit.say("quit")
            assert unit.end() == 0
        assert not list(folder.data.glob("*.part"))


class TestTheCamera:
    def test_that_has_no_such_name(self, folder: UnitFolder) -> None:
        code, sentence = sentence_of(folder.path, camera="holga")
        assert (code, sentence[:23]) == (2, "'holga' names no camera")

    def test_whose_film_is_missing(self, folder: UnitFolder) -> None:
        code, sentence = sentence_of(folder.path, camera="file:/none.mp4")
        assert (code, sentence) == (5, "There is no video file /none.mp4: give the path of one.")

    def test_whose_film_is_none(self, folder: UnitFolder) -> None:
        code, sentence = sentence_of(folder.path, camera=f"file:{folder.settings_file}")
        assert (code, "cannot be played" in sentence) == (5, True)

    def test_that_is_not_plugged_in_is_a_fault_that_a_wearer_reads_and_the_unit_still_docks(
        self, folder: UnitFolder
    ) -> None:
        with running_unit(folder.path, "--headless", camera="v4l2:/dev/video-none") as unit:
            fault = unit.wait_for("fault")
            assert fault["kind"] == "camera_failed"
            assert "/dev/video-none" in fault["sentence"]
            unit.say("touch")
            refused = unit.wait_for("fault", count=2)
            assert refused["kind"] == "clip_refused"
            unit.say("dock")
            assert unit.wait_for("fault", count=3)["kind"] == "offload_failed"
            unit.say("quit")
            assert unit.end() == 0

    def test_that_dies_while_recording_ends_a_clip_that_is_whole(self, folder: UnitFolder, tmp_path: Path) -> None:
        footage = film(tmp_path / "film.mp4", pictures=50)
        with running_unit(folder.path, "--headless", camera=f"file:{footage}") as unit:
            unit.wait_for("standby")
            unit.say("touch")
            unit.wait_for("first_durable")
            footage.write_bytes(b"")  # what is being played over and over is there no more
            footage.unlink()
            ended = unit.wait_for("recording_ended")
            assert (ended["ended_by"], ended["complete"]) == ("camera-failed", True)
            assert unit.wait_for("fault")["kind"] == "camera_failed"
            unit.say("quit")
            assert unit.end() == 0

    def test_that_blinks_while_recording_is_recorded_on_in_a_new_clip(self, folder: UnitFolder, tmp_path: Path) -> None:
        footage, away = film(tmp_path / "film.mp4", pictures=50), tmp_path / "away.mp4"
        with running_unit(folder.path, "--headless", camera=f"file:{footage}") as unit:
            unit.wait_for("standby")
            unit.say("touch")
            unit.wait_for("first_durable")
            footage.rename(away)  # it is opened anew at its end, and not there
            cut = unit.wait_for("recording_ended")
            away.rename(footage)
            resumed = unit.wait_for("resumed")
            assert (cut["ended_by"], resumed["after"]) == ("camera-failed", cut["clip_id"])
            assert unit.wait_for("told")["headline"] == "Recording goes on after a fault"
            unit.wait_for("first_durable", count=2)
            assert unit.events.count("standby") == 1
            unit.say("hold 2.2")
            ended = unit.wait_for("recording_ended", count=2)
            assert (ended["clip_id"], ended["ended_by"]) == (resumed["clip_id"], "wearer")

    def test_that_blinks_while_the_unit_is_docked_and_taken_off_records_nothing(
        self, folder: UnitFolder, tmp_path: Path
    ) -> None:
        footage, away = film(tmp_path / "film.mp4", pictures=50), tmp_path / "away.mp4"
        with running_unit(folder.path, "--headless", camera=f"file:{footage}") as unit:
            unit.wait_for("standby")
            unit.say("touch")
            unit.wait_for("first_durable")
            footage.rename(away)
            unit.wait_for("recording_ended")
            unit.say("dock")
            unit.wait_for("docked")
            away.rename(footage)
            unit.say("undock")
            unit.wait_for("standby", count=2)
            assert "resumed" not in unit.events

    def test_that_comes_back_in_a_new_process_alone_is_recorded_on_there(
        self, folder: UnitFolder, tmp_path: Path
    ) -> None:
        footage, away = film(tmp_path / "film.mp4", pictures=50), tmp_path / "away.mp4"
        managed = environment(NOTIFY_SOCKET=f"@{tmp_path.name}-nobody")
        with running_unit(folder.path, "--headless", camera=f"file:{footage}", with_environment=managed) as unit:
            unit.wait_for("standby")
            unit.say("touch")
            unit.wait_for("first_durable")
            footage.rename(away)
            assert unit.end() == 5
            cut = unit.wait_for("recording_ended")
        away.rename(footage)
        with running_unit(folder.path, "--headless", camera=f"file:{footage}") as again:
            assert again.wait_for("resumed")["after"] == cut["clip_id"]
            again.wait_for("first_durable")
            assert "standby" not in again.events

    def test_that_does_not_come_back_ends_a_process_that_is_started_again(
        self, folder: UnitFolder, tmp_path: Path
    ) -> None:
        footage = film(tmp_path / "film.mp4", pictures=50)
        managed = environment(NOTIFY_SOCKET=f"@{tmp_path.name}-nobody")
        with running_unit(folder.path, "--headless", camera=f"file:{footage}", with_environment=managed) as unit:
            unit.wait_for("standby")
            footage.write_bytes(b"")
            footage.unlink()
            assert unit.end() == 5
            assert unit.events[-1] == "stopped"
            assert unit.errors.startswith("mirrorcam-unit: The camera did not come back, so this process makes way")
            assert unit.errors.count("\n") == 1

    def test_records_without_a_microphone_that_the_board_names_and_says_so(self, tmp_path: Path) -> None:
        wanted = f"{policy_toml(recipients=(str(RECIPIENT),))}record_audio = true\n"
        folder = enrol(tmp_path / "unit", Pki(), NO_DOCK, policy=wanted)
        with folder.settings_file.open("a") as settings:
            settings.write('microphone = "alsa:plughw:31,0"\n')
        with running_unit(folder.path, "--headless") as unit:
            fault = unit.wait_for("fault")
            assert fault["kind"] == "no_microphone"
            assert "The microphone plughw:31,0 (alsa) cannot be opened" in fault["sentence"]
            unit.wait_for("standby")
            assert unit.record()["frames_written"] > 0
            unit.say("quit")
            assert unit.end() == 0
        (clip,) = Installation.open(folder.path).spool.waiting()
        (mute,) = clip.manifest.mute_spans
        assert mute.end_seconds - mute.start_seconds > 1

    def test_hears_a_microphone_that_is_plugged_in_late_and_says_so(self, tmp_path: Path) -> None:
        wanted = f"{policy_toml(recipients=(str(RECIPIENT),))}record_audio = true\n"
        folder = enrol(tmp_path / "unit", Pki(), NO_DOCK, policy=wanted, settings='microphone = "alsa:late"')
        devices, with_it = tmp_path / "alsa.conf", tmp_path / "with-it.conf"
        devices.write_text("")
        with_it.write_text('pcm.quiet { type null }\npcm.late { type file slave.pcm "quiet" file "/dev/null" }\n')
        # ALSA reads its configuration again when its time in whole seconds is another, and else never.
        os.utime(with_it, (0, 0))
        with running_unit(
            folder.path, "--headless", with_environment=environment(ALSA_CONFIG_PATH=str(devices))
        ) as unit:
            assert unit.wait_for("fault")["kind"] == "no_microphone"
            with_it.replace(devices)
            unit.wait_for("microphone_found")
            unit.record()
            unit.say("quit")
            assert unit.end() == 0
        assert unit.events.count("fault") == 1
        (clip,) = Installation.open(folder.path).spool.waiting()
        assert (clip.manifest.has_audio, clip.manifest.mute_spans) == (True, ())

    def test_that_was_never_there_is_waited_for_whoever_would_start_the_unit_again(self, folder: UnitFolder) -> None:
        managed = environment(NOTIFY_SOCKET="@mirrorcam-nobody")
        with running_unit(folder.path, "--headless", camera="v4l2:/dev/none", with_environment=managed) as unit:
            unit.wait_for("fault")
            with pytest.raises(subprocess.TimeoutExpired):
                unit.process.wait(sum(CAMERA_RETRY_SECONDS[: CAMERA_RETRIES + 1]) + 1)
            unit.say("quit")
            assert unit.end() == 0


class TestTheProcess:
    def test_ends_with_any_of_its_threads_and_what_was_recorded_goes_on_in_the_next(
        self, folder: UnitFolder, tmp_path: Path
    ) -> None:
        mistake = tmp_path / "sitecustomize.py"  # Python reads it at its start: no part of ours has such a mistake
        mistake.write_text(
            "from appliance.writing.clip_writer import ClipWriter\n"
            "def sync(clip):\n"
            "    raise ZeroDivisionError('a secret')\n"
            "ClipWriter.sync = sync\n"
        )
        path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
        with running_unit(folder.path, "--headless", with_environment=environment(PYTHONPATH=path)) as unit:
            unit.wait_for("standby")
            unit.say("touch")
            assert unit.end() == 1
        fault = unit.wait_for("fault")
        assert fault["kind"] == "part_failed"
        what = "A part of the unit (recorder) has failed by ZeroDivisionError at sitecustomize.py:3: "
        assert fault["sentence"] == f"{what}the unit ends, to be started again."
        assert "a secret" not in f"{unit.lines}{unit.errors}"
        with running_unit(folder.path, "--headless") as again:
            again.wait_for("resumed")


class TestTheStorage:
    def test_that_has_damaged_one_note_of_the_chain_is_told_and_the_chain_goes_on(self, folder: UnitFolder) -> None:
        with running_unit(folder.path, "--headless") as unit:
            unit.wait_for("standby")
            first = unit.record()
            unit.say("quit")
            assert unit.end() == 0
        (folder.data / "spool.json").write_bytes(bytes(512))
        with running_unit(folder.path, "--headless") as unit:
            fault = unit.wait_for("fault")
            assert fault["kind"] == "storage_failed"
            assert "spool.json is damaged" in fault["sentence"]
            unit.wait_for("standby")
            assert unit.record()["sequence"] == first["sequence"] + 1
            unit.say("quit")
            assert unit.end() == 0

    def test_that_vanishes_is_told_in_the_dark_and_a_touch_records_again_once_it_is_back(
        self, folder: UnitFolder
    ) -> None:
        away = folder.path / "away"
        with running_unit(folder.path, "--headless") as unit:
            unit.wait_for("standby")
            folder.data.rename(away)
            fault = unit.wait_for("fault")
            assert (fault["kind"], fault["sentence"]) == (
                "storage_failed",
                "The storage has failed, so nothing can be recorded: change this unit.",
            )
            unit.say("hold 2.2")
            assert unit.wait_for("fault", count=2)["kind"] == "clip_refused"
            unit.say("is the hold over?")
            unit.wait_for("misread")  # so long that the gauges have looked as well
            away.rename(folder.data)
            assert unit.record()["complete"]
            unit.say("quit")
            assert unit.end() == 0
            assert unit.errors == ""

    def test_that_vanishes_while_recording_ends_the_clip_and_the_next_one_is_whole(self, folder: UnitFolder) -> None:
        away = folder.path / "away"
        with running_unit(folder.path, "--headless") as unit:
            unit.wait_for("standby")
            unit.say("touch")
            unit.wait_for("first_durable")
            folder.data.rename(away)
            assert unit.wait_for("fault")["kind"] == "storage_failed"
            away.rename(folder.data)
            unit.say("touch")
            unit.wait_for("first_durable", count=2)
            unit.say("hold 2.2")
            until(lambda: any(line.get("sequence") == 2 for line in unit.lines))
            unit.say("quit")
            assert unit.end() == 0
        cut, whole = Worn.open(folder).installation.spool.waiting()
        assert not cut.manifest.complete
        assert cut.manifest.ended_by in {"storage-failed", "power-lost"}  # as the storage was back, or was not, in time
        assert whole.manifest.complete

    def test_that_is_gone_on_the_dock_is_told_and_the_unit_lives_on(self, folder: UnitFolder) -> None:
        away = folder.path / "away"
        with running_unit(folder.path, "--headless") as unit:
            unit.wait_for("standby")
            folder.data.rename(away)
            unit.wait_for("fault")
            unit.say("dock")
            failed = unit.wait_for("fault", count=2)
            assert failed["kind"] == "offload_failed"
            assert failed["sentence"].startswith("This unit cannot read or write its own files (")
            unit.say("undock")
            assert unit.wait_for("fault", count=3)["kind"] == "storage_failed"
            away.rename(folder.data)
            assert unit.record()["complete"]
            unit.say("quit")
            assert unit.end() == 0


class TestTheDock:
    def test_that_does_not_answer_is_called_again_and_nothing_is_lost(self, folder: UnitFolder) -> None:
        clip = Worn.open(folder).clip()
        with running_unit(folder.path, "--headless") as unit:
            unit.wait_for("standby")
            unit.say("dock")
            fault = unit.wait_for("fault")
            assert fault["kind"] == "offload_failed"
            assert fault["sentence"].startswith("The dock https://localhost:1 was not reached")
            self.records_again(unit)
        assert Worn.open(folder).waiting()[0] == clip.clip_id

    def records_again(self, unit: UnitProcess) -> None:
        unit.say("undock")
        unit.wait_for("standby", count=2)
        unit.record()
        until(lambda: unit.events.count("standby") == 3)
