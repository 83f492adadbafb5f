"""The custody log's newest head as a file of its own: a log whose end was cut off in the database does not have it.

Each entry names the one before, so an end that is missing leaves a log that is good. Retention keeps the head at each
of its runs; no backup has it, for what a backup was made of may well have gone on.
"""

from pathlib import Path

from sqlalchemy import Connection

from dock_station import custody
from dock_station.catalogue import entries
from dock_station.custody import CustodyBrokenError
from evidence.durable import write_durably
from evidence.receipt import CustodyHead
from evidence.strict import SchemaError, read_json, write_json


def require(file: Path, connection: Connection) -> None:
    """Raise CustodyBrokenError unless the log has the head that was kept, or none was kept yet."""
    try:
        kept = read_json(file.read_bytes(), CustodyHead, file.name)
    except FileNotFoundError:
        return
    except SchemaError as error:
        raise CustodyBrokenError(entries.count(connection), f"{file.name} should name it and cannot be read") from error
    if not custody.knows(connection, kept):
        raise CustodyBrokenError(kept.entries, f"it is not there as {file.name} names it")


def keep(file: Path, connection: Connection) -> None:
    """Keep the log's head durably; raises OSError."""
    head = custody.head(connection)
    if head:
        write_durably(file, write_json(head))
