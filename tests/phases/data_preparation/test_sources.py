"""Sources: a directory, and a bucket behind a server of our own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from phases.data_preparation.archive import pack, unpack
from phases.data_preparation.sources import LocalSource, Object, open_source
from phases.errors import AccessDenied, EmptyDataset, NoCredentials


@dataclass
class Bucket:
    """What the server holds, how it answers, and where it is."""

    objects: dict[str, bytes] = field(default_factory=dict)
    error: tuple[int, str] | None = None
    page: int = 2
    url: str = ""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A server that speaks as much of S3 as the source needs: pages of ListObjectsV2, and GetObject."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    held = Bucket()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if held.error:
                status, code = held.error
                return self.send(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if "list-type" in query:
                return self.send(200, listing(query))
            return self.send(200, held.objects[unquote(url.path).removeprefix("/raw/")])

        def send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    def listing(query: dict[str, str]) -> bytes:
        keys = [key for key in sorted(held.objects) if key.startswith(query.get("prefix", ""))]
        start = int(query.get("continuation-token", "0"))
        here, more = keys[start : start + held.page], start + held.page < len(keys)
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(held.objects[key])}</Size></Contents>"
            for key in here
        )
        token = f"<NextContinuationToken>{start + held.page}</NextContinuationToken>" if more else ""
        truncated = str(more).lower()
        return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{contents}{token}</ListBucketResult>".encode()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield held
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_directory_is_listed_in_the_key_order_of_s3(tmp_path: Path) -> None:
    for key in ("tsn/b.c", "tsn/a/x.c", "tsn/a.c", "tsn/a-b.c", "other/z.c"):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_text("int x;")
    # as strings: "-" and "." come before "/"
    assert [file.key for file in LocalSource(tmp_path).list("tsn")] == [
        "tsn/a-b.c",
        "tsn/a.c",
        "tsn/a/x.c",
        "tsn/b.c",
    ]


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert LocalSource(tmp_path).list("tsn") == []


def test_a_directory_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EmptyDataset, match="does not exist"):
        open_source(str(tmp_path / "nowhere"))


def test_a_url_without_bucket_is_said_so() -> None:
    with pytest.raises(EmptyDataset, match="names no bucket"):
        open_source("s3:///prefix")


def test_a_bucket_is_listed_over_all_its_pages_and_read(bucket: Bucket) -> None:
    keys = ["p/tsn/a.c", "p/tsn/b c.c", "p/tsn/é.c", "p/tsn/sub/d.c", "p/tsn/sub/e.c"]
    bucket.objects = {key: key.encode() for key in keys} | {
        "p/tsn/": b"",
        "p/tsn_old/x.c": b"no",
        "q/y.c": b"no",
    }
    source = open_source("s3://raw/p", endpoint_url=bucket.url, region="us-east-1")
    found = source.list("tsn")
    assert found == sorted(Object(key.removeprefix("p/"), len(key.encode())) for key in keys)
    assert source.read("tsn/b c.c") == b"p/tsn/b c.c"
    assert source.url == "s3://raw/p"


def test_a_bucket_without_prefix_is_read_from_its_root(bucket: Bucket) -> None:
    bucket.objects = {"tsn/a.c": b"1"}
    source = open_source("s3://raw", endpoint_url=bucket.url, region="us-east-1")
    assert source.list("tsn") == [Object("tsn/a.c", 1)]
    assert source.read("tsn/a.c") == b"1"


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [
        (403, "AccessDenied", AccessDenied),
        (403, "InvalidAccessKeyId", NoCredentials),
        (404, "NoSuchBucket", EmptyDataset),
    ],
)
def test_what_s3_refuses_enters_its_state_of_diagram_8(
    bucket: Bucket, status: int, code: str, raised: type[Exception]
) -> None:
    bucket.error = (status, code)
    source = open_source("s3://raw/p", endpoint_url=bucket.url, region="us-east-1")
    with pytest.raises(raised, match="s3://raw/p/tsn/"):
        source.list("tsn")


def test_an_archive_holds_its_files_and_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    files = [("tsn/a.c", b"int x;"), ("tsn/" + "long/" * 40 + "é.c", b"\x00\xff"), ("tsn/empty.c", b"")]
    pack(tmp_path / "one.tar", files)
    pack(tmp_path / "two.tar", files)
    assert list(unpack(tmp_path / "one.tar")) == files
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
