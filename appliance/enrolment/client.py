"""What a unit to be says to the dock's enrolment door; the connection is as any other to a dock."""

from typing import TypeVar

import msgspec

from appliance.docking.client import DockAnswerError, DockClient
from evidence.enrolment import REQUEST_PATH, REQUESTS_PATH, Begun, Request, Revealed, Standing
from evidence.strict import SchemaError, read_json

Model = TypeVar("Model", bound=msgspec.Struct)


class EnrolmentClient(DockClient):
    """A connection to the enrolment door; every method raises what those of DockClient do."""

    def begin(self) -> Begun:
        """Begin a request."""
        return _read(self._post_json(REQUESTS_PATH, b"").content, Begun)

    def submit(self, request_id: str, request: Request) -> Revealed:
        """Send the certificate request and the unit's nonce; to send the same once more is harmless."""
        path = REQUEST_PATH.format(request_id=request_id)
        headers = {"Content-Type": "application/json"}
        return _read(self._ask("PUT", path, headers=headers, content=msgspec.json.encode(request)).content, Revealed)

    def standing(self, request_id: str) -> Standing:
        """Ask how the request stands."""
        return _read(self._ask("GET", REQUEST_PATH.format(request_id=request_id), headers={}).content, Standing)


def _read(content: bytes, model: type[Model]) -> Model:
    try:
        return read_json(content, model, "answer")
    except SchemaError as error:
        raise DockAnswerError(error.reason) from error
