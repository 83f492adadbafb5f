"""The bays, for everyone who stands before the dock: whose unit hands over, whose may be taken, who must call IT."""

from collections.abc import Callable

from flask import Blueprint, Response, current_app, make_response, render_template

from dock_station.pages.security import CONTENT_SECURITY_POLICY
from dock_station.pages.site import Site
from dock_station.pages.standing import Board

# This page alone asks the dock for news, and that only.
WITH_NEWS = f"{CONTENT_SECURITY_POLICY}; connect-src 'self'"


def blueprint(site: Site, monotonic: Callable[[], float]) -> Blueprint:
    """Return the page `/bays`, and what of it is asked for again and again.

    Both are open to who is not signed in: they tell no more than what stands on the units and on their screens.
    """
    pages = Blueprint("bays", __name__)
    board = Board(site.dock, monotonic)

    @pages.get("/bays")
    def shown() -> Response:
        answer = make_response(render_template("bays.html", bays=board.seen()))
        answer.headers["Content-Security-Policy"] = WITH_NEWS
        return answer

    @pages.get("/bays/now")
    def now() -> str:
        # Not by `render_template`, which asks who is signed in: looking on would keep a session from ending by itself.
        return current_app.jinja_env.get_template("bays_now.html").render(bays=board.seen())

    return pages
