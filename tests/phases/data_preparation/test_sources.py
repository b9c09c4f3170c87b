"""Sources: a directory, and a bucket behind a server of our own."""

from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from fsm.errors import Unanswered
from fsm.testing import Clock
from phases.data_preparation.archive import pack, unpack
from phases.data_preparation.sources import Listing, LocalSource, Object, Source, open_source
from phases.errors import AccessDenied, EmptyDataset, InvalidStructure, NoCredentials


@dataclass
class Bucket:
    """What the server holds, how it answers, and where it is."""

    objects: dict[str, bytes] = field(default_factory=dict)
    error: tuple[int, str] | None = None
    faults: list[str] = field(default_factory=list)
    """What happens to the next requests, and then no more: see `Answer.spoil`."""
    etags: bool = False
    conditions: bool = True
    reading: Callable[[], None] = lambda: None
    """What happens before each object is read."""
    listing: Callable[[str], object] = lambda prefix: None
    """Is told of each listing."""
    asked: int = 0
    ranges: list[str] = field(default_factory=list)
    """The parts of objects that were asked for."""
    page: int = 2
    url: str = ""


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A server that speaks as much of S3 as the source needs: pages of ListObjectsV2, and GetObject."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    held = Bucket()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.asked += 1
            if held.faults and self.spoil(held.faults.pop(0)):
                return None
            if held.error:
                status, code = held.error
                return self.send(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if "list-type" in query:
                held.listing(query.get("prefix", ""))
                return self.send(200, listing(query))
            held.reading()
            key = unquote(url.path).removeprefix("/raw/")
            if key not in held.objects:
                return self.send(404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")
            body = held.objects[key]
            condition = self.headers.get("If-Match") if held.conditions else None
            if condition and condition != etag(body):
                return self.send(412, b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>")
            tags = {"ETag": etag(body)} if held.etags else {}
            if wanted := self.headers.get("Range"):
                held.ranges.append(wanted)
                first, last = map(int, wanted.removeprefix("bytes=").split("-"))
                return self.send(206, body[first : last + 1], **tags)
            return self.send(200, body, **tags)

        def spoil(self, fault: str) -> bool:
            """Cut the connection; answer with an error; cut the body short, or alter it; or do nothing ("")."""
            key = unquote(urlsplit(self.path).path).removeprefix("/raw/")
            body = held.objects.get(key, b"")
            if fault == "cut":
                self.close_connection = True
            elif fault == "half":
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            elif fault == "short":
                self.send(200, body[:-1], **({"ETag": etag(body)} if held.etags else {}))
            elif fault == "altered":
                whole = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
                self.send(200, body[:-1] + b"?", **{"x-amz-checksum-crc32": whole})
            elif fault:
                status, code = fault.split()
                words = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
                self.send(int(status), words)
            return bool(fault)

        def send(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    def tagged(key: str) -> str:
        return f"<ETag>{escape(etag(held.objects[key]))}</ETag>" if held.etags else ""

    def listing(query: dict[str, str]) -> bytes:
        start = query.get("prefix", "")
        keys = [key for key in sorted(held.objects) if key.startswith(start)]
        if "delimiter" in query:
            tops = sorted({key[len(start) :].partition("/")[0] for key in keys if "/" in key[len(start) :]})
            found = "".join(
                f"<CommonPrefixes><Prefix>{escape(start + top)}/</Prefix></CommonPrefixes>" for top in tops
            )
            return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()
        first = int(query.get("continuation-token", "0"))
        here, more = keys[first : first + held.page], first + held.page < len(keys)
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(held.objects[key])}</Size>{tagged(key)}</Contents>"
            for key in here
        )
        token = f"<NextContinuationToken>{first + held.page}</NextContinuationToken>" if more else ""
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
    assert [file.key for file in LocalSource(tmp_path).list("tsn").files] == [
        "tsn/a-b.c",
        "tsn/a.c",
        "tsn/a/x.c",
        "tsn/b.c",
    ]


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert LocalSource(tmp_path).list("tsn") == Listing(there=False)


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
    found = source.list("tsn").files
    assert [*found] == sorted(Object(key.removeprefix("p/"), len(key.encode())) for key in keys)
    assert source.read("tsn/b c.c") == b"p/tsn/b c.c"
    assert source.url == "s3://raw/p"


def test_a_bucket_without_prefix_is_read_from_its_root(bucket: Bucket) -> None:
    bucket.objects = {"tsn/a.c": b"1"}
    source = open_source("s3://raw", endpoint_url=bucket.url, region="us-east-1")
    assert source.list("tsn").files == (Object("tsn/a.c", 1),)
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


STORM = [
    "cut",
    "500 InternalError",
    "503 SlowDown",
    "400 RequestTimeout",
    "cut",
    "503 SlowDown",
    "429 Throttling",
]


def opened(bucket: Bucket, clock: Clock | None = None) -> Source:
    return open_source("s3://raw/p", endpoint_url=bucket.url, region="us-east-1", clock=clock or Clock())


def test_listing_and_reading_go_on_through_what_passes(bucket: Bucket) -> None:
    bucket.objects = {f"p/tsn/{n}.c": b"int x;" * n for n in range(1, 6)}  # three pages
    calm = opened(bucket).list("tsn").files
    bucket.faults = ["", *STORM, *STORM]
    clock = Clock()
    source = opened(bucket, clock)
    assert source.list("tsn").files == calm
    assert not bucket.faults
    bucket.faults = [*STORM, "half", "half"]
    assert [source.read(file.key, file) for file in calm] == [b"int x;" * n for n in range(1, 6)]
    assert not bucket.faults
    assert 0 < clock.now < 1800


def test_a_bucket_is_asked_once_an_attempt_whatever_the_environment_says(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    bucket.faults = ["503 SlowDown"] * 3
    bucket.objects = {"p/tsn/a.c": b"1"}
    told: list[str] = []
    source = open_source(
        "s3://raw/p",
        endpoint_url=bucket.url,
        region="us-east-1",
        clock=Clock(),
        tells=lambda error, seconds: told.append(str(error)),
    )
    assert source.read("tsn/a.c") == b"1"
    assert ["SlowDown" in said for said in told] == [True] * 3
    assert bucket.asked == 4


def test_a_bucket_that_never_answers_ends_the_patience(bucket: Bucket) -> None:
    bucket.error = (503, "SlowDown")
    clock = Clock()
    with pytest.raises(Unanswered, match=r"s3://raw gave no clear answer for 1800 seconds .*SlowDown"):
        opened(bucket, clock).list("tsn")
    assert clock.now > 1800 - 30


@pytest.mark.parametrize("conditions", [True, False], ids=["conditions-held", "conditions-ignored"])
def test_an_object_that_changed_after_it_was_listed_is_told(bucket: Bucket, conditions: bool) -> None:
    bucket.etags, bucket.conditions = True, conditions
    bucket.objects = {"p/tsn/a.c": b"int x;"}
    source = opened(bucket)
    [file] = source.list("tsn").files
    assert source.read(file.key, file) == b"int x;"
    bucket.objects["p/tsn/a.c"] = b"int y;"
    with pytest.raises(
        InvalidStructure, match=r"s3://raw/p/tsn/a\.c: the object was changed after it was listed"
    ):
        source.read(file.key, file)


def test_an_object_that_was_deleted_after_it_was_listed_is_told(bucket: Bucket) -> None:
    bucket.objects = {"p/tsn/a.c": b"int x;"}
    source = opened(bucket)
    [file] = source.list("tsn").files
    del bucket.objects["p/tsn/a.c"]
    with pytest.raises(InvalidStructure, match="the object was deleted after it was listed"):
        source.read(file.key, file)


@pytest.mark.parametrize(
    ("fault", "said"),
    [("short", "5 bytes came of the 6 that are listed"), ("altered", "not those of its checksum")],
)
def test_a_body_that_is_not_what_it_should_be_is_read_again_and_then_told(
    bucket: Bucket, fault: str, said: str
) -> None:
    bucket.etags = True
    bucket.objects = {"p/tsn/a.c": b"int x;"}
    source = opened(bucket)
    [file] = source.list("tsn").files
    bucket.faults = [fault, fault]
    assert source.read(file.key, file) == b"int x;"
    bucket.faults = [fault] * 3
    with pytest.raises(InvalidStructure, match=f"{said}.*each of 3 times"):
        source.read(file.key, file)


def test_many_objects_come_at_a_time_and_in_order(bucket: Bucket) -> None:
    bucket.etags, bucket.page = True, 100
    bucket.objects = {f"p/tsn/{n:03}.c": b"int x;" * n for n in range(40)}
    together = threading.Barrier(
        4, timeout=10
    )  # a source that asked one after the other would wait here for ever

    def meet() -> None:
        if together.n_waiting or not met:
            with suppress(threading.BrokenBarrierError):
                together.wait()
            met.append(True)

    met: list[bool] = []
    bucket.reading = meet
    source = opened(bucket)
    files = source.list("tsn").files
    bucket.faults = ["", "cut", "half", "503 SlowDown", ""]
    assert [(file.key, content) for file, content in source.contents(files)] == [
        (f"tsn/{n:03}.c", b"int x;" * n) for n in range(40)
    ]
    assert not together.broken


def test_a_large_object_comes_by_ranges_that_are_whole(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phases.data_preparation.sources.bucket.PART", 1000)
    bucket.etags = True
    bucket.objects = {"p/tsn/a.c": bytes(range(256)) * 10, "p/tsn/b.c": b"int b;"}
    source = opened(bucket)
    files = source.list("tsn").files
    bucket.faults = ["half", "503 SlowDown"]
    assert [content for _, content in source.contents(files)] == [bytes(range(256)) * 10, b"int b;"]
    assert {"bytes=0-999", "bytes=1000-1999", "bytes=2000-2559"} == set(bucket.ranges)
    bucket.objects["p/tsn/a.c"] = b"?" * 2560
    with pytest.raises(InvalidStructure, match="the object was changed after it was listed"):
        list(source.contents(files))


def test_keys_that_can_be_no_file_of_a_folder_are_left_out(bucket: Bucket) -> None:
    bucket.page = 100
    keys = [
        "p/tsn/a.c",
        "p/tsn/../up.c",
        "p/tsn//abs.c",
        "p/tsn/x/../../y.c",
        "p/tsn/\ufffd.c",
        "p/tsn/a..b.c",
    ]
    bucket.objects = dict.fromkeys(keys, b"int x;")
    listed = opened(bucket).list("tsn")
    assert [file.key for file in listed.files] == ["tsn/a..b.c", "tsn/a.c"]
    assert {left.key: left.reason for left in listed.left_out} == {
        "tsn/../up.c": "its key leads out of its folder (..)",
        "tsn//abs.c": "its key is absolute",
        "tsn/x/../../y.c": "its key leads out of its folder (..)",
        "tsn/\ufffd.c": "its name is not UTF-8",
    }


def test_the_folders_of_a_bucket_are_named(bucket: Bucket) -> None:
    bucket.objects = {"p/tsn/a.c": b"", "p/other/b.c": b"", "p/top.c": b"", "q/c.c": b""}
    assert opened(bucket).folders() == ["other", "tsn"]
    assert not opened(bucket).list("nowhere").there


def test_every_folder_of_a_bucket_is_listed_once(bucket: Bucket, finish: Callable[..., Any]) -> None:
    bucket.page = 100
    listings: list[str] = []
    code = "int f_{0}(int a)\n{{\n\tint b = a * {0};\n\treturn b;\n}}\n"
    bucket.objects = {
        f"p/{folder}/{n}.c": code.format(n).encode() for n in range(3) for folder in ("tsn_data", "carla")
    }
    bucket.listing = listings.append
    section = {"source": "s3://raw/p", "endpoint_url": bucket.url, "region": "us-east-1"}
    assert finish("data_preparation", section).outcome.outcome == "done"
    assert listings == ["p/tsn_data/", "p/avb_data/", "p/carla/", "p/"]  # the last for the names there are


def test_a_run_reads_what_it_listed_or_stops(
    bucket: Bucket, finish: Callable[..., Any], tmp_path: Path
) -> None:
    files = {f"{folder}/a.c": f"int {folder}(int a) {{ return a; }}\n" for folder in ("tsn_data", "carla")}
    for key, content in files.items():
        (tmp_path / "local" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "local" / key).write_text(content)
    local = finish("data_preparation", {"source": str(tmp_path / "local")}, "local")
    bucket.etags = True
    bucket.objects = {f"p/{key}": content.encode() for key, content in files.items()}
    section = {"source": "s3://raw/p", "endpoint_url": bucket.url, "region": "us-east-1"}
    whole = finish("data_preparation", section, "whole")
    for split in ("train", "val"):
        rows = [done.rows(f"data/splits/{split}.jsonl") for done in (whole, local)]
        assert [row.pop("source") for some in rows for row in some] == ["s3://raw/p", str(tmp_path / "local")]
        assert rows[0] == rows[1]
    bucket.reading = lambda: bucket.objects.update({"p/tsn_data/a.c": b"int other(int a) { return 1; }\n"})
    changed = finish("data_preparation", section, "changed")
    assert changed.outcome.outcome == "stopped"
    assert "tsn_data/a.c: the object was changed after it was listed" in changed.outcome.message


def test_an_archive_holds_its_files_and_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    files = [("tsn/a.c", b"int x;"), ("tsn/" + "long/" * 40 + "é.c", b"\x00\xff"), ("tsn/empty.c", b"")]
    pack(tmp_path / "one.tar", files)
    pack(tmp_path / "two.tar", files)
    assert list(unpack(tmp_path / "one.tar")) == files
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
