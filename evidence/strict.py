"""Strict reading of signed JSON and TOML: what does not fit the schema is refused with the field's name."""

import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from evidence.errors import EnvironmentalError, NotGenuineError

Model = TypeVar("Model")
Utc = Annotated[datetime, msgspec.Meta(tz=True)]

MAX_SHOWN = 200  # characters of a foreign document that one sentence may hold


class SchemaError(NotGenuineError):
    """A document does not fit its schema."""

    def __init__(self, document: str, reason: str) -> None:
        super().__init__(f"This {document} is refused: {reason}; ask its sender for a correct one.")
        self.document = document
        self.reason = reason


class SettingsError(EnvironmentalError):
    """A device's own settings file does not fit its schema."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}; correct it there.")
        self.path = path
        self.reason = reason


def read_json(content: bytes, model: type[Model], document: str) -> Model:
    """Read UTF-8 JSON as `model`; raises SchemaError that names the field for anything unknown, missing or doubled."""
    try:
        # Python's reader finds doubled names, msgspec's refuses what is no number or no text and names the field.
        names = json.loads(content.decode("utf-8"), object_pairs_hook=_without_doubles)
        value = msgspec.json.decode(content, type=model)
    except msgspec.ValidationError as error:
        raise SchemaError(document, _reason(error)) from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(document, f"it is not JSON ({error})") from error
    # The constructors fill it in for those who write; whoever sends a document says which schema it keeps to.
    if hasattr(value, "schema") and "schema" not in names:
        raise SchemaError(document, "object missing required field 'schema'")
    _check_utc(value, document)
    return value


def read_toml(content: bytes, model: type[Model], document: str) -> Model:
    """Read UTF-8 TOML as `model`; raises SchemaError as `read_json` does."""
    try:
        value = msgspec.convert(tomllib.loads(content.decode("utf-8")), model)
    except msgspec.ValidationError as error:
        raise SchemaError(document, _reason(error)) from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(document, f"it is not TOML ({error})") from error
    _check_utc(value, document)
    return value


def read_settings(path: Path, model: type[Model]) -> Model:
    """Read a device's own TOML settings, which nobody signs; raises SettingsError or OSError."""
    try:
        return read_toml(path.read_bytes(), model, path.name)
    except SchemaError as error:
        raise SettingsError(path, error.reason) from error


def write_json(value: msgspec.Struct) -> bytes:
    """Return `value` as indented UTF-8 JSON with a final newline: the bytes that get signed, readable in any editor."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC, cut to milliseconds, which is all that a manifest's clock can promise."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _reason(error: msgspec.ValidationError) -> str:
    reason = _on_one_line(str(error).replace("`", "'").replace("$.", ""))
    return reason[0].lower() + reason[1:]


def _on_one_line(text: str) -> str:
    """Return what a foreign document brought into a sentence so that a terminal shows it and does not obey it."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"


def _check_utc(value: object, document: str) -> None:
    for place in _moments_elsewhere(value, ""):
        raise SchemaError(document, f"{place} is not in UTC")


def _moments_elsewhere(value: object, place: str) -> Iterator[str]:
    """Yield where in a read document there is a time of another zone than UTC."""
    if isinstance(value, datetime) and value.utcoffset() != timedelta(0):
        yield place
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _moments_elsewhere(getattr(value, name), f"{place}.{name}".lstrip("."))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _moments_elsewhere(item, f"{place}[{index}]")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"the field '{_on_one_line(name)}' is there twice")
        fields[name] = value
    return fields
