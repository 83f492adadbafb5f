"""Turning the database's rows into plain values."""

from collections.abc import Iterable
from typing import Any, TypeVar

from sqlalchemy import Row

Value = TypeVar("Value")
AnyRow = Row[*tuple[Any, ...]]


def many(model: type[Value], rows: Iterable[AnyRow]) -> list[Value]:
    """Return one `model` per row, whose columns are named like the model's fields."""
    return [model(**row._mapping) for row in rows]


def one(model: type[Value], row: AnyRow | None) -> Value | None:
    """Return the row as a `model`, or None where there is no row."""
    return None if row is None else model(**row._mapping)
