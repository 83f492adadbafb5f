"""Whoever is not root goes on as the root of a namespace of his own, or is told what is missing."""

import os
import sys

import pytest

from provisioning.image import as_root
from provisioning.image.as_root import go_on_as_root
from provisioning.stock_programs import NotRootError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the program of somebody who is not root is replaced by."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "execvp", lambda _, command: commands.append(command))
    return commands


def test_root_goes_on(monkeypatch: pytest.MonkeyPatch, started: list[list[str]]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    go_on_as_root()
    assert started == []


def test_the_same_program_is_started_in_a_namespace(monkeypatch: pytest.MonkeyPatch, started: list[list[str]]) -> None:
    monkeypatch.setattr(as_root, "_NAMESPACE", ("env", "A=B"))
    go_on_as_root()
    assert started == [["env", "A=B", *sys.orig_argv]]


def test_where_there_is_no_namespace_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, started: list[list[str]]
) -> None:
    monkeypatch.setattr(as_root, "_NAMESPACE", ("false",))
    with pytest.raises(NotRootError, match=r"no root of your own here \(exit code 1\): install uidmap"):
        go_on_as_root()
    assert started == []
