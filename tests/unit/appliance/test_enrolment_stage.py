"""The unit to be, switched on: what its screen shows while it asks, and how it ends."""

import os
from pathlib import Path

os.environ["SDL_VIDEODRIVER"] = "dummy"

import numpy as np
import pygame
import pytest

from appliance.enrolment.stage import Notice
from appliance.front import messages
from appliance.front.screen import Screen, open_display
from appliance.front.view import View
from tests.pki import Pki
from tests.unit_process import call

SIZES = ((800, 480), (480, 320), (320, 240))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "message",
    [
        messages.NEW_UNIT,
        messages.enrolment_code("123 456", is_answered=True),
        messages.enrolment_code("123 456", is_answered=False),
        messages.enrolment_trouble("The certificate of the dock is refused: another authority issued it; tell IT."),
        messages.enrolled("unit-07"),
    ],
)
def test_whatever_it_has_to_say_fits_the_screen(size: tuple[int, int], message: messages.Message) -> None:
    screen = Screen(open_display(size))
    notice = Notice(messages.NEW_UNIT)
    notice.put(message)
    screen.show(View(message=notice.message), None)
    lit = pygame.surfarray.array3d(screen.display.surface).any(axis=2)
    columns, rows = np.nonzero(lit)
    assert columns.size
    assert rows.min() > 0
    assert rows.max() < size[1] - 1
    assert columns.min() > 0
    assert columns.max() < size[0] - 1
    screen.close()


def test_a_folder_without_a_card_is_refused_as_before(tmp_path: Path) -> None:
    done = call("run", "--folder", tmp_path, "--headless")
    assert done.returncode == 5
    assert "enrol this unit with 'mirrorcam-provision unit enrol' first" in done.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "missing required field 'dock_url'"),
        ('dock_url = "http://dock"', "dock_url"),
        ('dock_url = "https://dock:8445"\nunit_id = "x"', "unknown field 'unit_id'"),
        ("dock_url", "it is not TOML"),
    ],
)
def test_a_card_that_is_none_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "authority.crt").write_bytes(Pki().pem)
    (tmp_path / "enrolment.toml").write_text(content)
    done = call("run", "--folder", tmp_path, "--headless")
    assert done.returncode == 5
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "unit.key").exists()


def test_a_card_without_its_authority_asks_nobody(tmp_path: Path) -> None:
    (tmp_path / "enrolment.toml").write_text('dock_url = "https://localhost:1"')
    done = call("run", "--folder", tmp_path, "--headless")
    assert done.returncode == 5
    assert "authority.crt cannot be read" in done.stderr
