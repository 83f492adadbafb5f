"""The lock files install with an old pip too: what is asked for with extras is locked with them."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKED = re.compile(r"^(?P<name>[\w.-]+)(\[(?P<extras>[\w,-]+)\])?==(?P<version>\S+)", re.MULTILINE)


def locked(file: Path) -> dict[str, list[tuple[str, frozenset[str]]]]:
    """Return what is locked: for each name the versions, each with its extras."""
    found: dict[str, list[tuple[str, frozenset[str]]]] = {}
    for line in LOCKED.finditer(file.read_text(encoding="utf-8")):
        extras = frozenset(filter(None, (line["extras"] or "").split(",")))
        found.setdefault(canonicalize_name(line["name"]), []).append((line["version"], extras))
    return found


def asked_with_extras(lock: dict[str, list[tuple[str, frozenset[str]]]]) -> dict[str, set[str]]:
    """Return what the locked packages that are installed here, in the version locked, ask for with extras."""
    asked: dict[str, set[str]] = {}
    for package in metadata.distributions():
        for version, extras in lock.get(canonicalize_name(package.name), []):
            for requirement in map(Requirement, package.requires or [] if package.version == version else []):
                marker = requirement.marker
                if requirement.extras and (not marker or any(marker.evaluate({"extra": of}) for of in {"", *extras})):
                    asked.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return asked


@pytest.mark.parametrize(
    ("path", "extra"), [("requirements.lock", "dev"), ("provisioning/image/recipe/requirements.lock", "pi")]
)
def test_what_a_locked_package_asks_for_with_extras_is_locked_with_them(path: str, extra: str) -> None:
    lock = locked(ROOT / path)
    asked = asked_with_extras({**lock, "mirrorcam": [(metadata.version("mirrorcam"), frozenset({extra}))]})
    assert "binary" in asked["psycopg"]
    for name, wanted in asked.items():
        for version, extras in lock[name]:
            assert wanted <= extras, f"{name}=={version} is locked without {wanted - extras}: run 'make lock'"
