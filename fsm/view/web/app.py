"""What the page asks for, as JSON; `static/` is the page. All of it only reads."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fsm.errors import FsmError
from fsm.mermaid import MermaidError
from fsm.store import Store
from fsm.view import report
from fsm.view.web import artifacts, panels, pictures
from fsm.view.web.guard import Guard
from fsm.view.web.watched import Message, Watched, Watching

STATIC = Path(__file__).with_name("static")
BREATH = 10.0  # seconds of silence after which a page is told that the server is still there
FIRST_LOOK = 1.0  # seconds to wait for a run that was not read yet, until a page is told how far that is
LINES_READ = 4 << 20  # bytes at the end of the log in which a state's lines are looked for
LINES = 100  # of them in one answer
FRESH = {"local": 1.0, "elsewhere": 15.0}  # seconds that a list of runs serves all pages


def app(
    store: Store, host: str, token: str | None = None, lines: Path | None = None, run: str | None = None
) -> Starlette:
    """The application for the runs of a store, served on `host`; with a `token` only for who brings it.

    A `run` that is going to be asked for is read from the beginning on.
    """
    server = _Server(store, lines)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if run is not None:
            server.watching.run(run)
        try:
            yield
        finally:
            await run_in_threadpool(server.watching.close)

    of = "/api/runs/{run}"
    routes = [
        Route("/", server.page),
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/api/runs", server.runs),
        Route(of, server.header),
        Route(of + "/timeline", server.timeline),
        Route(of + "/moment", server.moment),
        Route(of + "/events", server.events),
        Route(of + "/picture/{machine}.svg", server.picture),
        Route(of + "/state", server.state),
        Route(of + "/records/{seq:int}", server.record),
        Route(of + "/log", server.log),
        Route(of + "/artifacts/{sha256}", server.artifact),
        Route(of + "/panels", server.panels),
        Route(of + "/panels/{panel}/{item}", server.panel),
    ]
    handlers: dict[Any, Any] = {FsmError: _told, MermaidError: _told}
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, host=host, token=token)],
        exception_handlers=handlers,
    )


async def _told(_: Request, e: Exception) -> Response:
    said = e.message if isinstance(e, FsmError) else str(e)
    return JSONResponse({"error": said}, 422)


class _Server:
    def __init__(self, store: Store, lines: Path | None = None) -> None:
        self.store = store
        self.lines = lines
        self.watching = Watching(store)
        self._listed: tuple[float, bytes] = (float("-inf"), b"")

    async def page(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def runs(self, _: Request) -> Response:
        age = FRESH["elsewhere" if "://" in self.store.url else "local"]
        if time.monotonic() - self._listed[0] > age:
            rows = await run_in_threadpool(self._rows)
            self._listed = time.monotonic(), to_json(rows)
        return Response(self._listed[1], media_type="application/json")

    def _rows(self) -> dict[str, Any]:
        now = time.time()
        try:
            rows = [self._row(name, now) for name in self.store.runs()]
        except FsmError as e:  # the rights have ended, say: the page goes on with what it has
            return {"url": self.store.url, "error": e.message, "runs": []}
        rows.sort(key=lambda row: (row.get("age") is None, row.get("age") or 0.0))
        return {"url": self.store.url, "runs": rows}

    def _row(self, name: str, now: float) -> dict[str, Any]:
        try:
            return report.summary(self.store, name, now)
        except FsmError as e:
            return {"run": name, "problem": e.message}

    def _run(self, request: Request) -> Watched:
        return self.watching.run(request.path_params["run"])

    async def header(self, request: Request) -> Response:
        watched = self._run(request)
        until = time.monotonic() + FIRST_LOOK
        while not watched.looked and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return Response(to_json(await run_in_threadpool(watched.header)), media_type="application/json")

    async def timeline(self, request: Request) -> Response:
        seq = _number(request, "from", 0)
        content = await run_in_threadpool(self._run(request).chunk, seq)
        return Response(content, media_type="application/json")

    async def moment(self, request: Request) -> Response:
        """The run after the record `at`, or at the time `until` (Unix time); without either, now."""
        watched, given = self._run(request), request.query_params
        seq = _number(request, "at", -1) if "at" in given else None
        until = _time(given["until"]) if "until" in given else None
        content = await run_in_threadpool(watched.moment, seq, until)
        return Response(content, media_type="application/json")

    async def events(self, request: Request) -> Response:
        seq = _number(request, "from", -1)
        if (last := request.headers.get("last-event-id", "")).isdecimal():
            seq = int(last)
        stream = _events(self._run(request), seq, request.query_params.get("born", ""))
        return StreamingResponse(stream, media_type="text/event-stream")

    async def picture(self, request: Request) -> Response:
        """The base picture, and which of its elements are which: as `pictures.drawn` says."""
        watched, name = self._run(request), request.path_params["machine"]
        machine = watched.following.projection.machines.get(name)
        if machine is None:
            return JSONResponse({"error": f"No drawing of machine {name!r} is installed here."}, 404)
        try:
            drawn = await run_in_threadpool(pictures.drawn, machine)
        except OSError as e:
            return JSONResponse({"error": f"{machine.chart.file} cannot be read: {e.strerror}."}, 404)
        return Response(to_json(drawn), media_type="application/json")

    async def state(self, request: Request) -> Response:
        given = request.query_params
        until = _number(request, "at", 1 << 62)
        find = partial(self._run(request).records_of, given.get("machine", ""), given.get("state", ""), until)
        return Response(to_json(await run_in_threadpool(find)), media_type="application/json")

    async def record(self, request: Request) -> Response:
        name, seq = request.path_params["run"], request.path_params["seq"]
        found = await run_in_threadpool(self._record, name, seq)
        if found is None:
            return JSONResponse({"error": f"Run {name} has no record {seq}."}, 404)
        return Response(to_json(found), media_type="application/json")

    def _record(self, name: str, seq: int) -> dict[str, Any] | None:
        line = next(iter(self.store.run(name).records(seq)), None)
        if line is None:
            return None
        hidden = ("snapshot", "prev", "id")
        return {k: v for k, v in json.loads(line).items() if k not in hidden}

    async def log(self, request: Request) -> Response:
        """The newest lines of the log that were said in a state: {"kept", "lines": [{"time", "level", "event", ...}]}."""
        state = request.query_params.get("state", "")
        found = await run_in_threadpool(said_in, self.lines, state) if self.lines else []
        return Response(
            to_json({"kept": self.lines is not None, "lines": found}), media_type="application/json"
        )

    async def artifact(self, request: Request) -> Response:
        given = request.query_params
        run = self.store.run(request.path_params["run"])
        return await run_in_threadpool(
            artifacts.answer,
            run,
            request.path_params["sha256"],
            given.get("name", ""),
            given.get("as", "part"),
            _number(request, "most", 1 << 18),
        )

    def _files(self, watched: Watched) -> panels.RunFiles:
        run = self.store.run(watched.name)
        return panels.RunFiles(run, watched.following.header, watched.files())

    async def panels(self, request: Request) -> Response:
        watched = self._run(request)
        made = await run_in_threadpool(lambda: panels.panels(self._files(watched)))
        return Response(to_json({"panels": made}), media_type="application/json")

    async def panel(self, request: Request) -> Response:
        watched = self._run(request)
        asked = request.path_params["panel"], request.path_params["item"]
        try:
            made = await run_in_threadpool(lambda: panels.page(self._files(watched), *asked))
        except (panels.Gone, ValueError, KeyError, TypeError) as e:
            return JSONResponse({"error": str(e) if isinstance(e, panels.Gone) else repr(e)}, 404)
        return Response(to_json(made), media_type="application/json")


def said_in(path: Path, state: str) -> list[Any]:
    """The newest lines of a file of the log that were said in a state, oldest first."""
    try:
        with path.open("rb") as f:
            f.seek(max(0, path.stat().st_size - LINES_READ))
            found = f.read().splitlines()
    except OSError:
        return []
    lines = []
    for text in reversed(found):
        try:
            line = json.loads(text)
        except ValueError:
            continue  # the first was cut, or the last is not whole yet
        places = str(line.get("place", "")).split(" > ") if isinstance(line, dict) else []
        if state in places or any(place.startswith(state + ".") for place in places):
            lines.append(line)
            if len(lines) == LINES:
                break
    return lines[::-1]


def _number(request: Request, name: str, otherwise: int) -> int:
    given = request.query_params.get(name, "")
    return int(given) if given.removeprefix("-").isdecimal() and len(given) < 19 else otherwise


def _time(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        return float("-inf")


async def _events(watched: Watched, seq: int, born: str) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[Message | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    yield b"retry: 1000\n\n"
    try:
        await run_in_threadpool(watched.join, queue, loop, seq, born)
        while True:
            try:
                message = await asyncio.wait_for(queue.get(), BREATH)
            except TimeoutError:
                yield b"event: breath\ndata: {}\n\n"
                continue
            if message is None:
                return
            yield message.encoded()
    finally:
        watched.leave(queue)
