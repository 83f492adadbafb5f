"""The dock's pages inside a machine, asked for from outside: each request is made by a program inside."""

import base64
import json
import shlex

import httpx

from tests.virtual_pi.machine import Machine

_PATIENCE = 300.0  # seconds, for one page of an emulated dock
_ASK = """\
import base64, http.client, json, ssl, sys
asked = json.loads(sys.stdin.read())
trusted = ssl.create_default_context(cafile=asked["authority"])
dock = http.client.HTTPSConnection(asked["host"], asked["port"], context=trusted, timeout=asked["seconds"])
dock.request(asked["method"], asked["target"], base64.b64decode(asked["body"]), dict(asked["headers"]))
answer = dock.getresponse()
body = base64.b64encode(answer.read()).decode()
print(json.dumps({"status": answer.status, "headers": answer.getheaders(), "body": body}))
"""


class FromInside(httpx.BaseTransport):
    """Sends what an httpx client asks by a program in the machine, which trusts the authority at `authority` there."""

    def __init__(self, machine: Machine, authority: str) -> None:
        self._machine = machine
        self._authority = authority

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = {
            "authority": self._authority,
            "host": request.url.host,
            "port": request.url.port,
            "seconds": _PATIENCE,
            "method": request.method,
            "target": request.url.raw_path.decode(),
            "body": base64.b64encode(request.read()).decode(),
            "headers": request.headers.multi_items(),
        }
        command = f"printf %s {shlex.quote(json.dumps(asked))} | python3 -c {shlex.quote(_ASK)}"
        answer = json.loads(self._machine.run(command, seconds=_PATIENCE))
        return httpx.Response(answer["status"], headers=answer["headers"], content=base64.b64decode(answer["body"]))
