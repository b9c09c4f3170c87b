"""Sources on this machine: what is there is read, what is not to be read is said so, and nothing outside is touched."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from phases.data_preparation.sources import LeftOut, LocalSource, Object, Unreadable, open_source
from phases.errors import EmptyDataset, InvalidStructure
from tests.nobody import as_nobody

Finish = Callable[..., Any]
CODE = "int add_{0}(int a, int b)\n{{\n\tint sum_{0} = a + b;\n\n\treturn sum_{0} * {0};\n}}\n"


def files(root: Path, *keys: str) -> Path:
    for number, key in enumerate(keys):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_text(CODE.format(number))
    return root


def left_out(root: Path, folder: str = "tsn") -> dict[str, str]:
    return {left.key: left.reason for left in LocalSource(root).list(folder).left_out}


def reachable(path: Path) -> None:
    """Let any user come to a directory that pytest made."""
    own = Path(tempfile.gettempdir()).resolve()
    for above in (p for p in (path, *path.parents) if own in p.resolve().parents):
        above.chmod(0o755)


def test_links_out_of_the_source_and_to_nowhere_are_refused(tmp_path: Path) -> None:
    root = files(tmp_path / "src", "tsn/a.c", "tsn/sub/b.c", "avb/c.c")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.c").write_text("int secret;")
    (root / "tsn/out.c").symlink_to(tmp_path / "secret/key.c")
    (root / "tsn/relative.c").symlink_to("../../secret/key.c")
    (root / "tsn/nowhere.c").symlink_to("gone.c")
    (root / "tsn/loop.c").symlink_to("loop.c")
    (root / "tsn/up").symlink_to("..")
    (root / "tsn/beyond").symlink_to(tmp_path / "secret")
    (root / "tsn/within.c").symlink_to("../avb/c.c")
    listed = LocalSource(root).list("tsn")
    assert [file.key for file in listed.files] == ["tsn/a.c", "tsn/sub/b.c", "tsn/within.c"]
    told = {left.key: left.reason for left in listed.left_out}
    assert told["tsn/out.c"] == told["tsn/relative.c"] == told["tsn/beyond/"]
    assert told["tsn/out.c"] == "a symbolic link that leads out of the source"
    assert told["tsn/nowhere.c"] == "a symbolic link that leads nowhere"
    assert "Too many levels of symbolic links" in told["tsn/loop.c"]
    assert "a symbolic link to a directory" in told["tsn/up/"]
    (root / "away").symlink_to(tmp_path / "secret")
    assert LocalSource(root).list("away").left_out == (
        LeftOut("away/", "a symbolic link that leads out of the source"),
    )


def test_a_link_to_a_directory_that_is_not_followed_is_told(tmp_path: Path, finish: Finish) -> None:
    root = files(tmp_path / "src", "tsn_data/a.c", "tsn_data/b.c")
    (tmp_path / "elsewhere").mkdir()
    (root / "tsn_data/vendored").symlink_to(tmp_path / "elsewhere")
    done = finish("data_preparation", {"source": str(root), "near_dedup": "off"})
    assert {
        "key": "tsn_data/vendored/",
        "domain": "TSN",
        "reason": "a symbolic link that leads out of the source",
    } in done.rows("data/skipped.jsonl")


def test_a_root_without_permission_is_said(tmp_path: Path) -> None:
    root = files(tmp_path / "src", "tsn/a.c")
    reachable(tmp_path)
    root.chmod(0)
    try:
        with as_nobody(), pytest.raises(EmptyDataset, match="cannot be looked into: Permission denied"):
            open_source(str(root))
    finally:
        root.chmod(0o755)


def test_a_root_that_is_a_link_is_a_root(tmp_path: Path) -> None:
    files(tmp_path / "src", "tsn/a.c")
    (tmp_path / "link").symlink_to("src")
    assert [file.key for file in LocalSource(tmp_path / "link").list("tsn").files] == ["tsn/a.c"]


def test_what_is_no_plain_file_and_names_that_are_not_utf_8_are_left_out(tmp_path: Path) -> None:
    root = files(tmp_path, "tsn/a.c")
    os.mkfifo(root / "tsn/pipe.c")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "tsn/socket.c"))
    (root / "tsn" / os.fsdecode(b"b\xe4d.c")).write_bytes(b"int x;")
    told = left_out(root)
    assert told["tsn/pipe.c"] == told["tsn/socket.c"] == "it is no plain file"
    assert told[os.fsdecode(b"tsn/b\xe4d.c")] == "its name is not UTF-8"


def test_a_directory_without_permission_is_said(tmp_path: Path, finish: Finish) -> None:
    root = files(tmp_path / "src", "tsn/a.c", "tsn/locked/b.c", "tsn/c.c")
    reachable(tmp_path)
    (root / "tsn/locked").chmod(0)
    (root / "tsn/c.c").chmod(0)
    try:
        with as_nobody():
            assert left_out(root) == {"tsn/locked/": "a directory that cannot be read: Permission denied"}
            with pytest.raises(Unreadable, match="it cannot be read: Permission denied"):
                LocalSource(root).read("tsn/c.c")
    finally:
        (root / "tsn/locked").chmod(0o755)


def test_a_file_that_is_not_as_it_was_listed_is_told(tmp_path: Path) -> None:
    root = files(tmp_path / "src", "tsn/a.c", "tsn/b.c", "tsn/c.c", "tsn/d.c", "tsn/e.c")
    source = LocalSource(root)
    listed = source.list("tsn").files
    (root / "tsn/a.c").unlink()
    (root / "tsn/b.c").write_text("int longer;" * 99)
    (root / "tsn/c.c").write_text("")
    (root / "tsn/d.c").unlink()
    (tmp_path / "outside.c").write_text("x" * listed[3].size)
    (root / "tsn/d.c").symlink_to(tmp_path / "outside.c")
    told = {file.key: content for file, content in source.contents(listed)}
    assert str(told["tsn/a.c"]) == "it is gone"
    assert (
        str(told["tsn/b.c"]) == f"it had {listed[1].size} bytes when its folder was listed, and has more now"
    )
    assert str(told["tsn/c.c"]) == f"it had {listed[2].size} bytes when its folder was listed, and has 0 now"
    assert str(told["tsn/d.c"]) == "a symbolic link that leads out of the source"
    assert told["tsn/e.c"] == (root / "tsn/e.c").read_bytes()


def test_a_run_skips_what_it_cannot_read_with_the_reason(
    tmp_path: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = files(tmp_path / "src", *(f"tsn_data/{name}.c" for name in "abcdef"))
    (root / "tsn_data/link.c").symlink_to("/etc/hostname")
    (root / "tsn_data/huge.c").touch()
    os.truncate(root / "tsn_data/huge.c", 1 << 30)
    (root / "tsn_data/notes.txt").write_text("not code")

    def vanishing(self: LocalSource, wanted: Any, contents: Any = LocalSource.contents) -> Any:
        (root / "tsn_data/c.c").unlink(missing_ok=True)
        return contents(self, wanted)

    monkeypatch.setattr(LocalSource, "contents", vanishing)
    done = finish("data_preparation", {"source": str(root)})
    assert done.outcome.outcome == "done"
    assert {row["key"]: row["reason"] for row in done.rows("data/skipped.jsonl")} == {
        "tsn_data/huge.c": "1073741824 bytes; data_preparation.max_file_bytes is 1000000",
        "tsn_data/link.c": "a symbolic link that leads out of the source",
        "tsn_data/c.c": "it is gone",
    }
    assert sum(n for edge, n in done.counts.items() if "ReadFile --> ProcessFiles.SkipFile" in edge) == 1
    assert done.data["skipped"] == 3


def test_files_that_all_vanished_are_an_empty_dataset_that_says_what_was_there(
    tmp_path: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = files(tmp_path / "src", "tsn_data/a.c", "carla/b.c")
    monkeypatch.setattr(
        LocalSource, "contents", lambda self, wanted: ((file, Unreadable("it is gone")) for file in wanted)
    )
    stopped = finish("data_preparation", {"source": str(root)}).outcome
    assert stopped.outcome == "stopped"
    assert "None of the 2 files" in stopped.message
    assert "1 in tsn_data, 1 in carla" in stopped.message
    assert "2 because: it is gone" in stopped.message


def test_folders_of_other_names_are_named(tmp_path: Path, finish: Finish) -> None:
    root = files(tmp_path / "src", "TSN-Data/a.c", "avb/b.c")
    (root / "carla").mkdir()
    (root / "carla/readme.md").write_text("none here")
    stopped = finish("data_preparation", {"source": str(root)}).outcome
    assert stopped.outcome == "stopped"
    assert "tsn_data is not there; avb_data is not there; carla holds 1 file (1 with .md)." in stopped.message
    assert "The folders there are: TSN-Data, avb, carla." in stopped.message


@pytest.mark.parametrize("kind", ["directory", "checkout", "zip", "tar.gz"])
def test_the_licence_of_a_tree_is_also_that_in_its_root(tmp_path: Path, finish: Finish, kind: str) -> None:
    root = files(tmp_path / "src", *(f"tsn_data/{name}.c" for name in "abcdef"))
    (root / "LICENSE").write_text("MIT License\n")
    (root / "COPYING").symlink_to("/etc/hostname")
    if kind == "checkout":
        git(root, "init")
        git(root, "add", ".")
    elif kind in ("zip", "tar.gz"):
        held = {
            f"top/{path.relative_to(root)}": path.read_bytes() for path in root.rglob("*") if path.is_file()
        }
        path = tmp_path / f"src.{kind}"
        root = zipped(path, held) if kind == "zip" else tarred(path, held)
    done = finish(
        "data_preparation", {"source": str(root), "licences": {"allow": ["MIT"]}, "near_dedup": "off"}
    )
    assert {row["licence"] for row in done.rows("data/splits/train.jsonl")} == {"MIT"}
    assert done.data["skipped"] == 0


@pytest.mark.parametrize("kind", ["directory", "checkout", "zip"])
def test_a_folder_may_be_named_with_a_slash_at_its_end(tmp_path: Path, finish: Finish, kind: str) -> None:
    root = files(tmp_path / "src", *(f"tsn/{name}.c" for name in "abcdef"))
    if kind == "checkout":
        git(root, "init")
        git(root, "add", ".")
    elif kind == "zip":
        held = {f"tsn/{n}.c": (root / f"tsn/{n}.c").read_bytes() for n in "abcdef"}
        root = zipped(tmp_path / "src.zip", held)
    done = finish("data_preparation", {"source": str(root), "folders": {"tsn": "tsn/"}, "suffixes": [".C"]})
    assert done.data["objects"]["TSN"] == 6
    assert json.loads(done.text("data/raw/TSN.json"))["keys"][0] == "tsn/a.c"


# A git checkout


def git(root: Path, *words: str) -> None:
    own = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", root, *own, *words], check=True, capture_output=True)


def test_of_a_git_checkout_the_tracked_files_are_read(tmp_path: Path) -> None:
    root = files(tmp_path / "src", "tsn/a.c", "tsn/é.c", "tsn/deleted.c", "avb/b.c")
    (root / "tsn/link.c").symlink_to("/etc/hostname")
    (root / "tsn/avb").symlink_to("../avb")
    git(root, "init")
    git(root, "add", ".")
    git(root, "commit", "-m", "first")
    files(root, "tsn/build/generated.c")
    (root / "tsn/untracked.c").symlink_to("/etc/hostname")
    (root / "tsn/output").symlink_to("/etc")
    (root / "tsn/deleted.c").unlink()
    mark = tmp_path / "ran"
    git(root, "config", "core.fsmonitor", f"touch {mark}")  # a repository's own command is not run
    listed = open_source(str(root)).list("tsn")
    assert [file.key for file in listed.files] == ["tsn/a.c", "tsn/é.c"]
    assert {left.key: left.reason for left in listed.left_out} == {
        "tsn/avb/": "a symbolic link to a directory, which is read where it stands, and not again",
        "tsn/deleted.c": "git tracks it, and it is not in the work tree",
        "tsn/link.c": "a symbolic link that leads out of the source",
    }
    assert not mark.exists()


def test_a_checkout_that_git_cannot_read_is_told(tmp_path: Path) -> None:
    root = files(tmp_path / "src", "tsn/a.c")
    (root / ".git").mkdir()
    with pytest.raises(EmptyDataset, match=r"git cannot list them: .*Mend the repository"):
        open_source(str(root)).list("tsn")


# Archives


def tarred(path: Path, members: Mapping[str, bytes | tarfile.TarInfo], mode: Any = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            body = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return path


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as held:
        for name, content in members.items():
            held.writestr(name, content)
    return path


MEMBERS = {"tsn/b.c": b"int b;", "tsn/a.c": b"int a;", "tsn/sub/c.c": b"int c;", "other/x.c": b"int x;"}


@pytest.mark.parametrize("top", ["", "linux-6.1/"])
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tgz", "tar.xz", "zip"])
def test_an_archive_is_read_by_its_members_names(tmp_path: Path, kind: str, top: str) -> None:
    members = {top + name: content for name, content in MEMBERS.items()}
    modes = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.xz": "w:xz"}
    path = tmp_path / f"code.{kind}"
    source = open_source(str(zipped(path, members) if kind == "zip" else tarred(path, members, modes[kind])))
    listed = source.list("tsn").files
    assert listed == (Object("tsn/a.c", 6), Object("tsn/b.c", 6), Object("tsn/sub/c.c", 6))
    assert [content for _, content in source.contents(listed)] == [b"int a;", b"int b;", b"int c;"]
    assert source.read("other/x.c") == b"int x;"
    assert not source.list("nowhere").there
    assert {"other", "tsn"} <= {name.removeprefix(top) for name in source.folders()}


def test_links_and_names_that_lead_out_of_an_archive_are_left_out(tmp_path: Path) -> None:
    link = tarfile.TarInfo("tsn/link.c")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    path = tarred(tmp_path / "a.tar.gz", {"tsn/a.c": b"int a;", "tsn/link.c": link, "tsn/../../up.c": b"x"})
    listed = open_source(str(path)).list("tsn")
    assert [file.key for file in listed.files] == ["tsn/a.c"]
    assert {left.key: left.reason for left in listed.left_out} == {
        "tsn/link.c": "it is no plain file of the archive",
        "tsn/../../up.c": "its key leads out of its folder (..)",
    }


@pytest.mark.parametrize("top", ["./", "./linux-6.1/"])
def test_an_archive_of_a_directory_itself_is_read_and_what_leads_out_of_it_hides_nothing(
    tmp_path: Path, top: str
) -> None:
    members = {f"{top}tsn/a.c": b"int a;", "../out.c": b"int b;", "/root/tsn/c.c": b"int c;"}
    source = open_source(str(tarred(tmp_path / "a.tar.gz", members)))
    listed = source.list("tsn").files
    assert listed == (Object("tsn/a.c", 6),)
    assert [content for _, content in source.contents(listed)] == [b"int a;"]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.tar"])
def test_an_archive_that_is_cut_off_or_none_at_all_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind" * 99)
    with pytest.raises(InvalidStructure, match=f"{name} cannot be read"):
        open_source(str(tmp_path / name)).list("tsn")
    whole = tarred(tmp_path / "whole.tar.gz", {f"tsn/{n}.c": os.urandom(5000) for n in range(9)})
    (tmp_path / "cut.tar.gz").write_bytes(whole.read_bytes()[:20_000])
    with pytest.raises(InvalidStructure, match=r"cut\.tar\.gz cannot be read"):
        open_source(str(tmp_path / "cut.tar.gz")).list("tsn")


def test_a_file_that_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "code.rar").write_bytes(b"")
    with pytest.raises(EmptyDataset, match=r"those can be read whose name ends with \.tar, \.tar\.gz"):
        open_source(str(tmp_path / "code.rar"))


def test_a_run_on_an_archive_has_the_rows_of_one_on_the_directory(tmp_path: Path, finish: Finish) -> None:
    root = files(tmp_path / "src", *(f"tsn_data/{name}.c" for name in "abcdef"))
    path = tarred(
        tmp_path / "src.tar.gz",
        {f"tsn_data/{n}.c": (root / f"tsn_data/{n}.c").read_bytes() for n in "abcdef"},
    )
    one = finish("data_preparation", {"source": str(root)}, "directory")
    other = finish("data_preparation", {"source": str(path)}, "archive")
    assert one.text("data/processed/train.jsonl") == other.text("data/processed/train.jsonl")
    assert one.fold.files["data/raw/TSN.tar.zst"] == other.fold.files["data/raw/TSN.tar.zst"]
