"""The tests are handed out longest first, and those that share something costly to one process; what is not run is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import order

SAID = """
============================= slowest durations ==============================
30.50s setup    tests/test_local_pipeline.py::test_one
10.25s call     tests/test_local_pipeline.py::test_two[x y]
50.00s call     tests/b.py::test_of[a@b]
0.75s call     tests/b.py::test_quick
1.50s call     tests/c.py::test_c
1.00s teardown tests/c.py::test_c
"""


def test_what_pytest_says_of_durations_is_added_up_by_what_stays_together() -> None:
    assert order.read(SAID) == (
        "50 tests/b.py::test_of[a@b]\n41 tests/test_local_pipeline.py\n2 tests/c.py::test_c\n"
    )


def test_what_is_written_down_as_long_is_still_there(request: pytest.FixtureRequest) -> None:
    root = Path(__file__).parents[1]
    files = {name.partition("::")[0] for name in order.long()} - {order.LOCAL_RUN}
    assert files
    assert [name for name in sorted(files) if not (root / name).is_file()] == []


CONFTEST = """\
from pathlib import Path
from tests import order
from tests.conftest import pytest_collection_modifyitems, pytest_sessionfinish, pytest_terminal_summary
from tests.conftest import pytest_xdist_make_scheduler
order.ROOT = Path(__file__).parent
"""
TESTS = """
import os
import pytest

@pytest.fixture(scope="module")
def made(): return os.getpid()

@pytest.mark.parametrize("n", range(6))
def test_together(made, n): print(f"process {os.getpid()} n {n}")
"""


def inner(folder: Path, text: str, *words: str, ci: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a test file of our own under the suite's conftest.py."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_inner.py").write_text(text)
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_") and k != "CI"}
    environment = plain | {"PYTHONPATH": str(order.LONG.parents[1])} | ({"CI": "true"} if ci else {})
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_tests_that_share_what_is_made_for_a_file_run_in_one_process(tmp_path: Path) -> None:
    done = inner(tmp_path, TESTS, "-n", "2", "--dist", "loadscope", "-rP")
    assert done.returncode == 0, done.stdout
    said = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("process ")]
    assert len(said) == 6
    assert len(set(said)) == 1


def test_what_asks_for_the_local_run_stays_together_in_whatever_file() -> None:
    assert (
        order.group("tests/test_readme.py::test_it[a]")
        == order.group("tests/test_learning.py::test_b")
        == "local_run"
    )
    assert order.group("tests/test_tree.py::test_it[a]") == "tests/test_tree.py::test_it[a]"


SKIPPING = """
import pytest

@pytest.mark.skipif(True, reason="no S3 server (pip could not install it)")
@pytest.mark.parametrize("n", range(3))
def test_marked(n): pass

def test_asking(): pytest.skip("no compiler (installing gcc takes root)")

def test_run(): pass
"""


@pytest.mark.parametrize("words", [(), ("-n", "2", "--dist", "loadscope")], ids=["alone", "spread"])
def test_what_was_not_run_is_said_with_its_number_and_its_reason(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = inner(tmp_path, SKIPPING, *words)
    assert done.returncode == 0, done.stdout
    assert "3 tests were not run: no S3 server (pip could not install it)\n" in done.stdout
    assert "1 test was not run: no compiler (installing gcc takes root)\n" in done.stdout


@pytest.mark.parametrize("words", [(), ("-n", "2", "--dist", "loadscope")], ids=["alone", "spread"])
def test_where_ci_is_set_a_test_that_was_not_run_is_a_failure(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = inner(tmp_path, SKIPPING, *words, ci=True)
    assert done.returncode == 1, done.stdout
    assert "CI is set: a test that is not run is a failure." in done.stdout
    whole = inner(tmp_path, "def test_run(): pass\n", *words, ci=True)
    assert whole.returncode == 0, whole.stdout


def test_the_longest_are_run_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Item:
        def __init__(self, nodeid: str) -> None:
            self.nodeid = nodeid

    long = tmp_path / "long.txt"
    long.write_text("40 tests/z.py::test_long[a b]\n3 tests/b.py::test_b\n")
    monkeypatch.setattr(order, "LONG", long)
    names = ["tests/a.py::test_a", "tests/b.py::test_b", "tests/z.py::test_long[a b]", "tests/z.py::test_z"]
    found = [item.nodeid for item in order.longest_first([Item(name) for name in names])]
    assert found == [names[2], names[1], names[0], names[3]]
