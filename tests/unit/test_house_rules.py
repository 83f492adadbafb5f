"""The rules of this house that no linter knows: how files begin, how long they are, which words and commands exist."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

import appliance.cli
import dock_station.cli
import evidence.cli
import provisioning.cli

ROOT = Path(__file__).parents[2]
PACKAGES = ("appliance", "dock_station", "evidence", "provisioning")
OURS = (*PACKAGES, "tests", "docs", "systemd")
FOREIGN = {"node_modules", "__pycache__", "vendor", "vendored"}
TEXTS = {".py", ".md", ".toml", ".html", ".css", ".js", ".mjs", ".service"}
LONGEST = 500  # lines

# The glossary has one word for each idea; these are the words that it is easily called by instead.
SYNONYMS = {
    r"audit[_ -]?log": "custody log",
    r"(device|camera)[_ ]id\b": "unit_id",
    r"(station|base)[_ ]id\b": "dock_id",
    r"(recording|video)_id\b": "clip_id",
    r"pre[_-]?(buffer|event|roll)": "pre-record",
    r"ring[_ -]?buffer": "ring",
    r"docking[_ -]?station\b|\bcradle\b": "dock",
    r"body[_-]?cam\b": "unit",
    r"legal[_ -]hold|evidence[_ -]hold": "hold",
    r"side-?car\b": "manifest",
    r"key[_-]slot": "keyslot",
    r"wearer_(name|id)\b": "pseudonym",
    r"master[_ -]key": "station key",
}
# Where such a word is meant, with the reason.
MEANT = {
    "provisioning/profiles": "the policies quote laws and press releases",
    "tests/unit/test_house_rules.py": "the list of words",
}

# Roots of a family of errors: the first is shown to people as it is; whoever calls the age library explains the
# second; the third is half a sentence that the age library completes.
ROOTS = {"MirrorcamError", "AgeError", "Bech32Error"}


def files(*suffixes: str, within: tuple[str, ...] = OURS) -> Iterator[Path]:
    for folder in within:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and not FOREIGN & set(path.parts):
                yield path


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def modules(*within: str) -> list[Path]:
    return list(files(".py", within=within))


def test_every_module_begins_with_a_sentence_that_no_other_has() -> None:
    beginnings: dict[str, list[str]] = defaultdict(list)
    for path in modules(*PACKAGES, "tests"):
        first = (ast.get_docstring(tree(path)) or "").partition("\n")[0]
        assert re.fullmatch(r".{15,}[.]", first), f"{name(path)} begins with no sentence: {first!r}"
        beginnings[first].append(name(path))
    shared = {sentence: paths for sentence, paths in beginnings.items() if len(paths) > 1}
    assert not shared


def test_no_file_is_longer_than_one_can_read() -> None:
    lengths = {name(path): path.read_text(encoding="utf-8").count("\n") for path in files(*TEXTS)}
    assert not {path: length for path, length in lengths.items() if length > LONGEST and not path.startswith("docs/")}


def test_nothing_is_left_to_be_done() -> None:
    marks = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b")  # the brackets keep this line from finding itself
    assert not [name(path) for path in files(*TEXTS) if marks.search(path.read_text(encoding="utf-8"))]


def test_every_idea_has_the_glossarys_word() -> None:
    found = []
    for path in files(".py", ".html", ".md"):
        if not any(name(path).startswith(place) for place in MEANT):
            text = path.read_text(encoding="utf-8")
            found += [
                (name(path), word) for pattern, word in SYNONYMS.items() if re.search(pattern, text, re.IGNORECASE)
            ]
    assert not found


def test_the_glossary_is_sorted_and_has_each_word_once() -> None:
    words = re.findall(r"^\| ([^|]+) \| (?!meaning)", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    words = [word for word in words if word not in {"word", "---"}]
    assert len(words) > 20
    assert words == sorted(set(words), key=str.lower)


def test_every_error_belongs_to_those_that_a_person_is_shown() -> None:
    bases = {
        node.name: [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        for path in modules(*PACKAGES)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    }

    def is_ours(error: str) -> bool:
        return error in ROOTS or any(is_ours(base) for base in bases.get(error, []))

    errors = [error for error in bases if error.endswith("Error")]
    assert len(errors) > 50
    assert not [error for error in errors if not is_ours(error)]


def test_nothing_is_printed_past_the_console() -> None:
    calls = [
        name(path)
        for path in modules(*PACKAGES)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "sys.stdout.write", "sys.stderr.write"}
    ]
    assert not calls


def test_a_tests_name_is_a_sentence() -> None:
    short = [
        f"{name(path)}::{node.name}"
        for path in modules("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and node.name.count("_") < 3
    ]
    assert not short


def test_every_test_that_a_document_names_exists() -> None:
    named = {
        found for path in files(".md") for found in re.findall(r"`(tests/[^`*]+)`", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    missing = []
    for place in named:
        path, _, test = place.partition("::")
        there = (ROOT / path).exists() and (not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"))
        if not there and path != "tests/conformance/node_modules":
            missing.append(place)
    assert not missing


COMMANDS = {
    "mirrorcam-unit": appliance.cli.app,
    "mirrorcam-dock": dock_station.cli.app,
    "mirrorcam-provision": provisioning.cli.app,
    "mirrorcam-clip": evidence.cli.app,
}


def mentioned() -> set[str]:
    """Return the commands that documents, pages, help texts and error sentences name, as one types them."""
    places = [ROOT / "README.md", *files(".md", ".py", ".html", ".service", within=(*PACKAGES, "docs", "systemd"))]
    pattern = re.compile(
        r"(?:[`'\"]|^(?:    |> |\$ )?)(mirrorcam-(?:unit|dock|provision|clip)(?: [^`'\"\n|;)]+)?)", re.MULTILINE
    )
    return {found.strip() for path in places for found in pattern.findall(path.read_text(encoding="utf-8"))}


def complaint(line: str) -> str | None:
    """Say what does not exist in a command line, or nothing."""
    words = line.rstrip("\\ ").split()
    command: Any = typer.main.get_command(COMMANDS[words[0]])
    rest = words[1:]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"'{line}': there is no '{rest[0]}'"
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    wrong = [word for word in rest if re.fullmatch(r"--[a-z-]+", word) and word not in known]
    return f"'{line}': there is no {wrong[0]}" if wrong else None


def test_every_command_that_is_named_anywhere_exists_with_its_options() -> None:
    lines = mentioned()
    assert len(lines) > 15
    assert [found for line in sorted(lines) if (found := complaint(line))] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_teaches(command: str) -> None:
    def walk(group: Any) -> Iterator[Any]:
        for each in getattr(group, "commands", {}).values():
            yield each
            yield from walk(each)

    untaught = [each.name for each in walk(typer.main.get_command(COMMANDS[command])) if not (each.help or "").strip()]
    assert not untaught


def test_a_command_that_does_not_exist_would_be_found() -> None:
    assert complaint("mirrorcam-clip inspect x") is None
    assert complaint("mirrorcam-clip explode x") == "'mirrorcam-clip explode x': there is no 'explode'"
    assert (
        complaint("mirrorcam-clip verify x --quietly") == "'mirrorcam-clip verify x --quietly': there is no --quietly"
    )
