"""What the player reads: a clip's bytes, opened range by range while it is unlocked."""

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from dock_station.pages import words
from dock_station.pages.site import Site


def blueprint(site: Site) -> Blueprint:
    """Return the address `/clips/<id>/media`."""
    pages = Blueprint("playing", __name__)

    @pages.get("/clips/<clip_id>/media")
    def media(clip_id: str) -> ResponseReturnValue:
        return Response(words.LOCKED, 403, content_type="text/plain; charset=utf-8")

    return pages
