"""Strict reading of signed JSON and TOML: what does not fit the schema is refused with the field's name."""

import json
import tomllib
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec

from evidence.errors import NotGenuineError

Model = TypeVar("Model")
Utc = Annotated[datetime, msgspec.Meta(tz=True)]


class SchemaError(NotGenuineError):
    """A document does not fit its schema."""

    def __init__(self, document: str, reason: str) -> None:
        super().__init__(f"This {document} is refused: {reason}; ask its sender for a correct one.")
        self.document = document
        self.reason = reason


def read_json(content: bytes, model: type[Model], document: str) -> Model:
    """Read UTF-8 JSON as `model`; raises SchemaError that names the field for anything unknown, missing or doubled."""
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SchemaError(document, f"it is not JSON ({error})") from error
    return _convert(value, model, document)


def read_toml(content: bytes, model: type[Model], document: str) -> Model:
    """Read UTF-8 TOML as `model`; raises SchemaError as `read_json` does."""
    try:
        value = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SchemaError(document, f"it is not TOML ({error})") from error
    return _convert(value, model, document)


def write_json(value: msgspec.Struct) -> bytes:
    """Return `value` as indented UTF-8 JSON with a final newline: the bytes that get signed, readable in any editor."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC, cut to milliseconds, which is all that a manifest's clock can promise."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _convert(value: object, model: type[Model], document: str) -> Model:
    try:
        return msgspec.convert(value, model, strict=True)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "'").replace("$.", "")
        raise SchemaError(document, reason[0].lower() + reason[1:]) from error


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"the field '{name}' is there twice")
        fields[name] = value
    return fields


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no number")
