"""Who speaks neither waits nor fails, and hears later what was lost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest

from fsm.speech import NOT_READ, Outlet
from fsm.speech.outlet import _Descriptor


def note(lines: int, why: str) -> str:
    return f"<{lines}: {why}>"


class Disk:
    """Takes texts while it has room."""

    def __init__(self) -> None:
        self.full = False
        self.texts: list[str] = []
        self.tried = threading.Semaphore(0)

    def __call__(self, text: str) -> None:
        try:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.texts.append(text)
        finally:
            self.tried.release()

    def after(self, tries: int) -> None:
        for _ in range(tries):
            assert self.tried.acquire(timeout=5)


def test_what_a_full_disk_did_not_take_is_said_before_the_next_line_that_it_takes() -> None:
    disk = Disk()
    outlet = Outlet(disk, note)
    outlet.put("one")
    disk.after(1)
    disk.full = True
    outlet.put("two")
    disk.after(1)
    outlet.put("three")
    disk.after(1)
    assert outlet.wait(5)
    disk.full = False
    outlet.put("four")
    assert outlet.close() == {}
    assert disk.texts == ["one", "<2: No space left on device>", "four"]


def test_with_no_next_line_it_is_said_at_the_end_or_told_to_whom_closes() -> None:
    for room_at_the_end in (True, False):
        disk = Disk()
        disk.full = True
        outlet = Outlet(disk, note)
        outlet.put("one")
        disk.after(1)
        assert outlet.wait(5)
        disk.full = not room_at_the_end
        lost = outlet.close()
        assert disk.texts == (["<1: No space left on device>"] if room_at_the_end else [])
        assert lost == ({} if room_at_the_end else {"No space left on device": 1})


class Pipe:
    """A reader that sleeps until it is woken."""

    def __init__(self) -> None:
        self.awake = threading.Event()
        self.asleep = threading.Event()
        self.texts: list[str] = []

    def __call__(self, text: str) -> None:
        self.asleep.set()
        assert self.awake.wait(10)
        self.texts.append(text)


def test_of_what_nobody_reads_the_first_texts_are_kept_and_the_others_counted() -> None:
    pipe = Pipe()
    outlet = Outlet(pipe, note, most=3)
    outlet.put("0")
    assert pipe.asleep.wait(5)
    for number in range(1, 8):
        outlet.put(str(number))
    pipe.awake.set()
    assert outlet.wait(5)
    outlet.put("8")
    assert outlet.close() == {}
    assert pipe.texts == ["0", "1", "2", "3", f"<4: {NOT_READ}>", "8"]


def test_the_end_does_not_wait_for_ever_and_tells_how_much_was_not_read() -> None:
    pipe = Pipe()
    outlet = Outlet(pipe, most=3)
    for number in range(8):
        outlet.put(str(number))
        pipe.asleep.wait(5)
    assert outlet.close(patience=0.01) == {NOT_READ: 8}
    pipe.awake.set()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_descriptor_that_someone_made_non_blocking_still_takes_everything(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    os.set_blocking(writes, False)
    text = "x" * (1 << 20) + "\n"
    found = bytearray()

    def read() -> None:
        while len(found) < len(text):
            found.extend(os.read(reads, 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    _Descriptor(writes, "utf-8")(text)
    reader.join(10)
    assert found.decode() == text


def test_a_line_that_was_torn_is_ended_before_the_next_one(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, writes = pipe
    write, room = os.write, [6, 0]

    def little(fd: int, data: bytes) -> int:
        if not room:
            return write(fd, data)
        if (most := room.pop(0)) == 0:
            raise OSError(errno.ENOSPC, "full")
        return write(fd, data[:most])

    monkeypatch.setattr(os, "write", little)
    descriptor = _Descriptor(writes, "ascii")
    with pytest.raises(OSError, match="full"):
        descriptor("a line of the log\n")
    descriptor("Grüße\n")
    assert os.read(reads, 100) == b"a line\nGr\\u00fc\\u00dfe\n"
