"""The demo's reviewer at the dock's pages: the requests that a browser would send, over the town's own TLS."""

import re
import ssl
from types import TracebackType
from typing import Self

import httpx

from evidence.errors import MirrorcamError
from provisioning.demo.stage import Stage

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_PIECE = 1 << 20


class PageRefusedError(MirrorcamError):
    """A page of the dock did not answer as it should."""

    def __init__(self, address: str, status: int) -> None:
        super().__init__(f"The dock answered {address} with status {status}: look at the end of dock.log.")


class Reviewer:
    """One person's session; the dock's certificate is checked against the town's authority."""

    def __init__(self, stage: Stage) -> None:
        trusted = ssl.create_default_context(cafile=str(stage.dock.authority_file))
        self._client = httpx.Client(base_url=stage.pages_url, verify=trusted, timeout=30, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def sign_in(self, login: str, password: str) -> None:
        """Sign in; raises PageRefusedError."""
        page = self._client.get("/sign-in")
        form = {"csrf_token": _token(page), "login": login, "password": password}
        self._require(self._client.post("/sign-in", data=form, headers=self._origin()), 302, 303)

    def page(self, address: str) -> str:
        """Return a page; raises PageRefusedError."""
        answer = self._client.get(address)
        self._require(answer, 200)
        return answer.text

    def unlock(self, clip_id: str, passphrase: str) -> bool:
        """Type a passphrase on a clip's page, and say whether the clip can be played now."""
        self._send(clip_id, "/unlock", passphrase=passphrase, next=f"/clips/{clip_id}")
        return self._client.get(f"/clips/{clip_id}/media", headers={"Range": "bytes=0-15"}).status_code == 206

    def hold(self, clip_id: str, *, case: str, reason: str, review: str) -> None:
        """Hold a clip for a case; raises PageRefusedError."""
        answer = self._send(clip_id, f"/clips/{clip_id}/hold", case_number=case, reason=reason, review_on=review)
        self._require(answer, 302, 303)

    def media_status(self, clip_id: str) -> int:
        """Return the status with which the dock answers who asks for a clip's picture."""
        return self._client.get(f"/clips/{clip_id}/media", headers={"Range": "bytes=0-15"}).status_code

    def download(self, clip_id: str) -> bytes:
        """Read a whole clip by ranges, as a browser's player does; raises PageRefusedError."""
        content = bytearray()
        while True:
            wanted = f"bytes={len(content)}-{len(content) + _PIECE - 1}"
            answer = self._client.get(f"/clips/{clip_id}/media", headers={"Range": wanted})
            self._require(answer, 206)
            content += answer.content
            if len(content) >= int(answer.headers["Content-Range"].rpartition("/")[2]):
                return bytes(content)

    def _send(self, clip_id: str, address: str, **fields: str) -> httpx.Response:
        token = _token(self._client.get(f"/clips/{clip_id}"))
        return self._client.post(address, data={"csrf_token": token, **fields}, headers=self._origin())

    def _origin(self) -> dict[str, str]:
        return {"Referer": str(self._client.base_url)}

    def _require(self, answer: httpx.Response, *statuses: int) -> None:
        if answer.status_code not in statuses:
            raise PageRefusedError(answer.request.url.path, answer.status_code)


def _token(page: httpx.Response) -> str:
    found = _TOKEN.search(page.text)
    if not found:
        raise PageRefusedError(page.request.url.path, page.status_code)
    return found[1]
