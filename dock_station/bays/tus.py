"""The tus 1.0 upload protocol (core, creation, checksum, expiration, termination) in front of the uploads."""

import base64
import hashlib
from datetime import datetime
from typing import cast

import msgspec
from flask import Blueprint, Response, g, request
from werkzeug.http import http_date

from dock_station.bays.uploads import MAX_BYTES, Body, Checksum, Uploads
from dock_station.catalogue.uploads import Upload
from dock_station.serving.http import BODY
from evidence.certificates import Holder
from evidence.docking import CLIP_ID_METADATA, TUS_CHECKSUMS, TUS_EXTENSIONS, TUS_VERSION, UPLOADS_PATH
from evidence.errors import MirrorcamError
from evidence.identifiers import ClipId

PIECE_TYPE = "application/offset+octet-stream"
MAX_METADATA = 1024  # bytes of Upload-Metadata


class BadRequestError(MirrorcamError):
    """A request is not one of this protocol."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The request is refused: {what}.")


class TusVersionError(MirrorcamError):
    """The client speaks another version of tus, or none."""

    def __init__(self) -> None:
        super().__init__(f"The request is refused: it must say Tus-Resumable: {TUS_VERSION}.")


class ContentTypeError(MirrorcamError):
    """A piece is not sent as one."""

    def __init__(self) -> None:
        super().__init__(f"The request is refused: a piece is sent as {PIECE_TYPE}.")


class LengthRequiredError(MirrorcamError):
    """A body comes without its length."""

    def __init__(self) -> None:
        super().__init__("The request is refused: it must announce its Content-Length.")


class TusRoutes:
    """The routes of tus; `g.unit` must be the Holder whose certificate the client showed."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def blueprint(self) -> Blueprint:
        """Return the routes, ready to be registered."""
        routes = Blueprint("tus", __name__)
        each = f"{UPLOADS_PATH}/<upload_id>"
        routes.before_request(_check_version)
        for path, methods in (
            (UPLOADS_PATH, {"OPTIONS": self.options, "POST": self.create}),
            (each, {"OPTIONS": self.options, "HEAD": self.status, "PATCH": self.append, "DELETE": self.terminate}),
        ):
            for method, view in methods.items():
                routes.add_url_rule(path, f"{method} {path}", view, methods=[method], provide_automatic_options=False)
        return routes

    def options(self, upload_id: str = "") -> Response:
        """Say what this server can do."""
        headers = {
            "Tus-Version": TUS_VERSION,
            "Tus-Extension": ",".join(TUS_EXTENSIONS),
            "Tus-Max-Size": str(MAX_BYTES),
            "Tus-Checksum-Algorithm": ",".join(TUS_CHECKSUMS),
        }
        return Response(status=204, headers=headers)

    def create(self) -> Response:
        """Begin an upload."""
        metadata = request.headers.get("Upload-Metadata", "")
        length = _number("Upload-Length")
        if length == 0:
            raise BadRequestError("no clip is empty, and its Upload-Length is 0")
        upload = self._uploads.create(_unit().name, _clip_id(metadata), length=length, metadata=metadata)
        headers = _expiry(upload.expires_at) | {"Location": f"{UPLOADS_PATH}/{upload.upload_id}"}
        return Response(status=201, headers=headers)

    def status(self, upload_id: str) -> Response:
        """Say how far an upload is."""
        upload = self._uploads.status(_unit().name, upload_id)
        headers = _state(upload) | {
            "Upload-Length": str(upload.length_bytes),
            "Upload-Metadata": upload.metadata,
            "Cache-Control": "no-store",
        }
        return Response(status=200, headers=headers)

    def append(self, upload_id: str) -> Response:
        """Take a piece."""
        if request.headers.get("Content-Type") != PIECE_TYPE:
            raise ContentTypeError
        if request.content_length is None:
            raise LengthRequiredError
        upload = self._uploads.append(
            _unit().name,
            upload_id,
            offset=_number("Upload-Offset"),
            length=request.content_length,
            body=cast(Body, request.environ[BODY]),
            checksum=_checksum(),
        )
        return Response(status=204, headers=_state(upload))

    def terminate(self, upload_id: str) -> Response:
        """End an upload."""
        self._uploads.terminate(_unit().name, upload_id)
        return Response(status=204)


def _check_version() -> None:
    if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != TUS_VERSION:
        raise TusVersionError


def _unit() -> Holder:
    return cast(Holder, g.unit)


def _state(upload: Upload) -> dict[str, str]:
    return _expiry(upload.expires_at) | {"Upload-Offset": str(upload.offset_bytes)}


def _expiry(moment: datetime) -> dict[str, str]:
    return {"Upload-Expires": http_date(moment)}


def _number(header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadRequestError(f"its {header} must be a number of bytes")
    return int(text)


def _clip_id(metadata: str) -> str:
    """Return the clip id in an Upload-Metadata header: pairs of a name and a Base64 value, separated by commas."""
    if len(metadata) > MAX_METADATA:
        raise BadRequestError(f"its Upload-Metadata has more than {MAX_METADATA} characters")
    values = dict(pair.strip().partition(" ")[::2] for pair in metadata.split(","))
    try:
        text = base64.b64decode(values.get(CLIP_ID_METADATA, ""), validate=True).decode("ascii")
        return msgspec.convert(text, ClipId)
    except (ValueError, msgspec.ValidationError) as error:
        raise BadRequestError(f"its Upload-Metadata names no {CLIP_ID_METADATA} that is a UUID of version 7") from error


def _checksum() -> Checksum | None:
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return None
    algorithm, _, value = header.partition(" ")
    if algorithm not in TUS_CHECKSUMS:
        raise BadRequestError(f"its Upload-Checksum must be one of {', '.join(TUS_CHECKSUMS)}")
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError as error:
        raise BadRequestError("its Upload-Checksum is not Base64") from error
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise BadRequestError(f"its Upload-Checksum is no digest of {algorithm}")
    return Checksum(algorithm, digest)
