"""A store whose rights end while pages look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from fsm.store import Store, open_store
from fsm.view.web.app import app
from tests.fsm.view.web.works import until
from tests.nobody import as_nobody
from tests.servers.fixtures import S3, aws_environment, proxied, s3, server
from tests.servers.proxy import Proxy

__all__ = ["aws_environment", "proxied", "s3", "server"]


def served(store: str | Store) -> TestClient:
    """A client of a store."""
    opened = open_store(store) if isinstance(store, str) else store
    return TestClient(app(opened, "127.0.0.1"), base_url="http://127.0.0.1:8377")


def test_a_directory_whose_rights_end_is_told_and_what_was_read_stays(bakery: Any, quiet: Any) -> None:
    bakery.run(logger=quiet)
    with served(bakery.store) as client:
        look_without_rights(bakery, client)


def look_without_rights(bakery: Any, client: TestClient) -> None:
    run = "/api/runs/bread"
    records = client.get(run).json()["status"]["records"]
    past, picture = client.get(f"{run}/timeline?from=0"), client.get(f"{run}/picture/oven.svg")
    client.get(f"{run}/panels")
    listed = client.get("/api/runs").json()
    assert [row["run"] for row in listed["runs"]] == ["bread"]
    (bakery.directory / "runs").chmod(0)

    def look() -> tuple[str, str]:
        said = client.get(run).json()["status"]
        assert said["records"] == records
        return said["state"], said["why"]

    try:
        with as_nobody():
            until(lambda: look()[0] == "unreadable")
            assert "Permission denied" in look()[1]
            said = until(lambda: (found := client.get("/api/runs").json()).get("error") and found)
            assert "The runs cannot be listed" in said["error"]
            assert client.get(f"{run}/timeline?from=0").content == past.content
            assert client.get(f"{run}/picture/oven.svg").content == picture.content
            for path in ("records/3", f"artifacts/{'a' * 64}"):
                answer = client.get(f"{run}/{path}")
                assert answer.status_code in (422, 502)
                assert "Permission denied" in answer.json()["error"]
    finally:
        (bakery.directory / "runs").chmod(0o755)
    until(lambda: look() == ("done", ""))
    until(lambda: client.get("/api/runs").json().get("error") is None)


def test_a_bucket_whose_rights_end_is_told_and_what_was_read_stays(
    bakery: Any, quiet: Any, s3: S3, proxied: Callable[..., Proxy]
) -> None:
    bakery.store = f"{s3.url}?endpoint_url={s3.server.url}&path_style=true"
    bakery.run(logger=quiet)
    plan = {"says": "none"}
    proxy = proxied(lambda request: plan["says"])
    store = s3.store(proxy.url)
    run = "/api/runs/bread"
    with served(store) as client:
        until(lambda: client.get(run).json()["status"]["state"] == "done")
        past = client.get(f"{run}/timeline?from=0").content
        client.get("/api/runs")
        plan["says"] = "403 AccessDenied: no longer"
        answer = client.get(f"{run}/records/3")
        assert answer.status_code == 422
        assert "AccessDenied" in answer.json()["error"]
        assert client.get(f"{run}/artifacts/{'a' * 64}").status_code == 502
        until(lambda: client.get(run).json()["status"]["state"] == "unreadable")
        assert "AccessDenied" in client.get(run).json()["status"]["why"]
        assert client.get(f"{run}/timeline?from=0").content == past
        plan["says"] = "none"
        assert client.get(f"{run}/records/3").status_code == 200
