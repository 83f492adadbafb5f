"""What protects the pages in the browser: the session cookie and its key, CSRF tokens, limits, and strict headers."""

import contextlib
import secrets
from ipaddress import IPv6Network
from pathlib import Path

from flask import Flask, Response, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf import CSRFProtect

from evidence.durable import create_durably

KEY_BYTES = 32  # as many as the digest that signs the cookie, RFC 2104 §3
MAX_FORM_BYTES = 64 << 10
ATTEMPTS = "10 per minute"  # of one computer, at signing in and at unlocking together; accounts lock by themselves

# Nothing from elsewhere, no script at all but our own file, no style but our own; Pico draws its signs by data URLs.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), display-capture=()",
}


def session_key(path: Path) -> bytes:
    """Return the key that signs cookies, which is made at the first start."""
    with contextlib.suppress(FileExistsError):
        create_durably(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
    return path.read_bytes()


def protect(app: Flask, key_file: Path) -> Limiter:
    """Set all of it up, and return the limiter that the doors share."""
    app.config.update(
        SECRET_KEY=session_key(key_file),
        # The prefix makes browsers refuse a cookie that another host or plain HTTP tries to plant (RFC 6265bis §4.1.3).
        SESSION_COOKIE_NAME="__Host-mirrorcam",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=MAX_FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FORM_BYTES,
        WTF_CSRF_TIME_LIMIT=None,  # as long as its session: a form may wait on the screen
        WTF_CSRF_SSL_STRICT=False,  # the token is bound to a cookie that nobody else can set; see its prefix
    )
    CSRFProtect(app)
    app.after_request(_add_headers)
    return Limiter(_computer, app=app, storage_uri="memory://")


def _computer() -> str:
    """Return which computer asks, for the limits: in IPv6 its network, for within that it has addresses without end."""
    address = get_remote_address()
    try:
        network = IPv6Network((address, 64), strict=False)  # RFC 4291 §2.5.4
    except ValueError:
        return address  # IPv4, by itself
    mapped = network.network_address.packed[:8] == bytes(8)  # as a listener at '::' sees IPv4, RFC 4291 §2.5.5.2
    return address if mapped else str(network)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Cache-Control"] = "no-cache" if request.endpoint == "static" else "no-store"
    return response
