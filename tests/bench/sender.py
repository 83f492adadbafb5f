"""A client in a process of its own: connects, says so, waits for a line, sends a file, and says when it is done.

Its standard input is one line of JSON (`Job`), then the line that starts it; its standard output the cipher, then a
line once it has the last word of the answer.
"""

import socket
import ssl
import sys
from http.client import HTTPResponse
from pathlib import Path

import msgspec

PIECE = 1 << 20


class Job(msgspec.Struct):
    """Where to send what: `before` and `after` are the requests around the file's bytes, each with its status."""

    port: int
    certificate: str
    key: str
    authority: str
    file: str
    before: bytes = b""
    after: bytes = b""


def main() -> None:
    """Do one job."""
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    context = ssl.create_default_context(cafile=job.authority)
    context.load_cert_chain(job.certificate, job.key)
    content = memoryview(Path(job.file).read_bytes())
    with (
        socket.create_connection(("localhost", job.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        cipher = line.cipher()
        print(cipher[0] if cipher else "", flush=True)
        sys.stdin.readline()
        if job.before:
            line.sendall(job.before)
        for start in range(0, len(content), PIECE):
            line.sendall(content[start : start + PIECE])
        _check_answer(line, job)
        if job.after:
            line.sendall(job.after)
            _check_answer(line, job)
        print("done", flush=True)


def _check_answer(line: ssl.SSLSocket, job: Job) -> None:
    if not job.before:
        if line.recv(1) != b"!":
            raise ConnectionError("the bare server did not take it all")
        return
    answer = HTTPResponse(line)
    answer.begin()
    content = answer.read()
    if answer.status not in {200, 204}:
        raise ConnectionError(content.decode())


if __name__ == "__main__":
    main()
