"""How templates speak: the language's hook, and the filters that write values for people."""

import json
import re
from datetime import UTC, datetime

from flask import Flask

from dock_station.pages import shown, words

DIGEST = re.compile(r"[0-9a-f]{64}")
SHORT_DIGEST = 16  # characters: enough to see whether two are the same


def teach(app: Flask) -> None:
    """Give templates their filters; `_` and `ngettext` say the sentences as they stand until there are languages."""
    environment = app.jinja_env
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.add_extension("jinja2.ext.i18n")
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(
        moment=shown.moment,
        moment_utc=shown.moment_utc,
        day=shown.day,
        duration=shown.duration,
        size=shown.size,
        iso=_iso,
        role=lambda role: words.ROLES.get(role, role),
        ending=lambda ended_by: words.ENDED_BY.get(ended_by, ended_by),
        deed=lambda action: words.ACTIONS.get(action, action),
        outcome=lambda outcome: words.OUTCOMES.get(outcome, outcome),
        party=party,
        details=details,
        offset=offset,
    )


def party(name: str) -> str:
    """Return what the custody log calls an actor or a subject, `<kind>:<name>`, in plain words."""
    kind, _, rest = name.partition(":")
    return f"{words.PARTIES.get(kind, kind)} {rest}".strip()


def details(text: str) -> str:
    """Return an entry's details, which are JSON, as a line for people; digests are cut short."""
    known = json.loads(text)
    return ", ".join(f"{name.replace('_', ' ')} {_in_words(value)}" for name, value in known.items())


def offset(seconds: float) -> str:
    """Return how far a unit's clock is off the dock's."""
    if abs(seconds) < 1:
        return words.CLOCK_RIGHT
    span = f"{abs(seconds):.0f} s" if abs(seconds) < 120 else shown.duration(abs(seconds))
    return f"{span} {words.CLOCK_FAST if seconds > 0 else words.CLOCK_SLOW}"


def _in_words(value: object) -> str:
    if value is None or isinstance(value, bool):
        return words.VALUES[value]
    text = str(value)
    return f"{text[:SHORT_DIGEST]}…" if DIGEST.fullmatch(text) else text


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
