"""A little S3 for measuring: a sorted dictionary behind HTTP, a fixed latency, put-if-absent, listings by bisection.

MiniStack sorts all its keys for every listing, so a hundred thousand of them measure MiniStack. Run as a process of its own;
prints its port.
"""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_left, bisect_right, insort
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from phases.rehearsal.proxy import message
from tests.servers.process import HOST

OBJECTS: dict[str, bytes] = {}
KEYS: list[str] = []


def answer(method: str, target: str, head: bytes, body: bytes) -> tuple[int, bytes]:
    """The status and the body of the answer."""
    url = urlsplit(target)
    key = unquote(url.path).strip("/").partition("/")[2]
    query = {k: v[0] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
    if "list-type" in query:
        return 200, listing(query)
    if method == "PUT":
        if not key:
            return 200, b""
        if b"\r\nif-none-match: *" in head.lower() and key in OBJECTS:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>"
        if key not in OBJECTS:
            insort(KEYS, key)
        OBJECTS[key] = body
        return 200, b""
    if key not in OBJECTS:
        return 404, b"<Error><Code>NoSuchKey</Code></Error>"
    return 200, OBJECTS[key]


def listing(query: dict[str, str]) -> bytes:
    prefix, limit = query.get("prefix", ""), int(query.get("max-keys", 1000))
    after = query.get("start-after", "")
    first = bisect_right(KEYS, after) if after else bisect_left(KEYS, prefix)
    found = KEYS[first : first + limit + 1]
    found = [k for k in found if k.startswith(prefix)]
    contents = "".join(
        f"<Contents><Key>{escape(k)}</Key><Size>{len(OBJECTS[k])}</Size></Contents>" for k in found[:limit]
    )
    more = str(len(found) > limit).lower()
    return f'<?xml version="1.0"?><ListBucketResult><IsTruncated>{more}</IsTruncated>{contents}</ListBucketResult>'.encode()


async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency: float) -> None:
    try:
        while True:
            head, body = await message(reader, leave=writer)
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            if latency:
                await asyncio.sleep(latency)
            status, content = answer(method, target, head, body)
            now = formatdate(usegmt=True)
            writer.write(
                f'HTTP/1.1 {status} X\r\nDate: {now}\r\nLast-Modified: {now}\r\nETag: "x"\r\nContent-Type: application/xml\r\n'
                f"Content-Length: {len(content)}\r\n\r\n".encode()
                + (content if method != "HEAD" else b"")
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(latency: float) -> None:
    server = await asyncio.start_server(lambda r, w: client(r, w, latency), HOST, 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
