"""What the hub refuses is told by what it was, and enters its state of Diagram 8. The hub is a server of the test's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from phases.error_recovery.classify import classify
from phases.errors import PipelineError
from phases.student import model
from tests.phases.qlora_training.micro import settings

MODEL = Path("some-org/some-model")


class Hub(BaseHTTPRequestHandler):
    """Answers everything with one status and one error code, as the hub names them in its headers."""

    status = 200
    code = ""

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.code:
            self.send_header("X-Error-Code", self.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hub(served: str, micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    """The stand-in, asked instead of the real one; `micro` has told the libraries to ask nobody."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", served)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        served + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return Hub


@pytest.mark.parametrize(
    ("status", "code", "state", "words"),
    [
        (403, "GatedRepo", "AccessDenied", "is gated: "),
        (401, "GatedRepo", "AccessDenied", "set HF_TOKEN to a token of that account"),
        (401, "", "AccessDenied", "The hub refuses some-org/some-model to this caller (HTTP 401)"),
        (401, "RepoNotFound", "InvalidStructure", "There is no model some-org/some-model on the hub"),
        (404, "RevisionNotFound", "InvalidStructure", "has no revision of-old"),
        (404, "EntryNotFound", "InvalidStructure", "cannot be loaded"),
        (200, "", "ContainerError", "The hub cannot be reached from here"),
    ],
    ids=["gated", "not-logged-in", "token", "no-such-model", "revision", "no-such-file", "another-server"],
)
def test_a_refusal_is_told_by_what_it_was(
    hub: type[Hub], status: int, code: str, state: str, words: str
) -> None:
    hub.status, hub.code = status, code
    with pytest.raises(PipelineError) as raised:
        model.load(settings(MODEL, offline=False, revision="of-old"))
    assert classify(raised.value) == state
    assert words in str(raised.value)


def test_offline_a_model_that_is_not_in_the_cache_is_to_be_fetched(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(PipelineError) as raised:
        model.load(settings(MODEL))
    assert classify(raised.value) == "InvalidStructure"
    assert "`hf download some-org/some-model`" in str(raised.value)
