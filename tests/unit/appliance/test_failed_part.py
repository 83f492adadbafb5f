"""Which threads take the process with them; that it is started again and goes on: tests/faults/test_unit_faults.py."""

import io
import os
import threading

import pytest

from appliance.cameras.source_thread import SourceThread
from appliance.failed_part import end_process_with_any_thread
from appliance.journal import Journal
from appliance.writing.thread import WriterThread
from tests.dock import until


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # as it was, after the test
    log = io.StringIO()
    end_process_with_any_thread(Journal(log))
    return log


def test_a_thread_of_ours_ends_the_process(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    broken = WriterThread.__new__(WriterThread)  # without its queue
    thread = threading.Thread(target=broken._run, name="recorder")
    thread.start()
    thread.join()
    assert codes == [1]
    assert "(recorder) has failed by AttributeError at thread.py:" in log.getvalue()


def test_a_thread_of_a_library_ends_alone(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()
    thread.join()
    assert log.getvalue() == ""
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_mistake_in_what_reads_a_camera_or_microphone_is_its_failure(log: io.StringIO) -> None:
    told: list[str] = []
    source = SourceThread("microphone")
    source.start(lambda _: print(1 // 0), lambda error: told.append(str(error)))
    until(lambda: bool(told))
    source.stop()
    assert told == ["What reads the microphone has failed (ZeroDivisionError): have IT look at this unit."]
    assert log.getvalue() == ""
