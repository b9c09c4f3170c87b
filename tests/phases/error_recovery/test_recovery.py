"""The paths of Diagram 8 under a real runner: a machine of one state that fails as it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import Context, Machine, Outcome, Phase, Program, Runner
from fsm.engine.runner import MOST_TRIES
from fsm.errors import TimeLimit
from fsm.journal import Fold, Journal
from fsm.store import open_store
from machines.error_recovery import MACHINE as RECOVERY
from phases import errors
from phases.error_recovery import PHASE as RECOVERY_PHASE
from phases.error_recovery.handlers import RESUME

Work = Callable[[Context], None]
Failing = Callable[[Work], tuple[Outcome, list[dict[str, Any]], Fold]]


def prepare(ctx: Context) -> None:
    ctx.data.update(micro_batch=8, accumulation=8)


@pytest.fixture
def failing(tmp_path: Path) -> Failing:
    """Run a machine whose one state does `work`; again under the same store, go on."""
    drawing = tmp_path / "one.mmd"
    drawing.write_text("stateDiagram-v2\n[*] --> Prepare\nPrepare --> Work\nWork --> [*] : done\n")

    def go(work: Work) -> tuple[Outcome, list[dict[str, Any]], Fold]:
        phase = Phase("one")
        phase.state("Prepare")(prepare)
        phase.state("Work")(work)
        program = Program(
            "one",
            {"one": Machine("one", drawing), "error_recovery": RECOVERY},
            {"one": phase, "error_recovery": RECOVERY_PHASE},
            "error_recovery",
            {"error_recovery": RECOVERY_PHASE.section({"base_seconds": 0})},
        )
        run = open_store(str(tmp_path)).run("r")
        if run.read_header() is None:
            run.write_header(b'{"format": 1}')
        journal = Journal(run)
        runner = Runner(program, run, journal, journal.open(), seed=1, work=tmp_path / "work")
        try:
            outcome = runner.drive()
        finally:
            journal.close()
        return outcome, list(Journal(run).records()), runner.fold

    return go


def path(records: list[dict[str, Any]]) -> list[str]:
    """The states of Diagram 8 in the order they were left."""
    return [r["from"].rpartition(".")[2] for r in records if r.get("machine") == "error_recovery"]


class ClientError(Exception):
    """Of botocore's form: it says what is the matter, and not what to do."""

    def __init__(self, code: str) -> None:
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code}}


@pytest.mark.parametrize(
    ("error", "states", "word"),
    [
        (ClientError("ExpiredToken"), ["NoCredentials", "SetEnvVars"], "Set AWS_ACCESS_KEY_ID"),
        (ClientError("AccessDenied"), ["AccessDenied", "UpdateBucketPolicy"], "the bucket's policy"),
        (ClientError("NoSuchEntity"), ["RoleNotFound", "DeployCloudFormation"], "Create the role"),
        (ClientError("ResourceLimitExceeded"), ["ContainerError", "CheckDLCImage"], "sagemaker_job.image"),
        (
            errors.RoleNotFound("no role"),
            ["RoleNotFound", "DeployCloudFormation"],
            "`aws cloudformation deploy",
        ),
        (errors.NaNLoss("nan"), ["NaNLoss", "LogCUDAMemory", "HaltTraining"], "checkpoint is kept"),
        (
            errors.MaxRuntimeExceeded("late"),
            ["MaxRuntimeExceeded", "SavePartialModel"],
            "max_runtime_seconds",
        ),
        (errors.ContainerError("image"), ["ContainerError", "CheckDLCImage"], "sagemaker_job.image"),
        (TimeLimit("Work: too long"), ["TimeLimit", "RaiseLimit"], "`limits` in machine one"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            ["EncodingError", "TryLatin1", "SkipFile"],
            "Convert the file to UTF-8",
        ),
    ],
)
def test_a_path_that_stops_says_what_to_do_and_a_resume_tries_the_state_again(
    failing: Failing,
    error: Exception,
    states: list[str],
    word: str,
) -> None:
    def raises(ctx: Context) -> None:
        raise error

    outcome, records, _ = failing(raises)
    assert outcome.outcome == "stopped"
    assert path(records) == states
    assert getattr(error, "message", str(error)) in outcome.message
    assert word in outcome.message
    outcome, _, _ = failing(lambda ctx: None)
    assert outcome.outcome == "done"


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        (errors.NoCredentials, "SetEnvVars"),
        (errors.AccessDenied, "UpdateBucketPolicy"),
        (errors.EmptyDataset, "CheckS3Paths"),
        (errors.InvalidStructure, "ValidateJSONL"),
        (errors.EncodingError, "SkipFile"),
        (errors.NotProvided, "CheckDLCImage"),
        (errors.NotRented, "CheckDLCImage"),
    ],
)
def test_what_our_own_message_says_to_do_is_not_talked_over(
    failing: Failing, kind: type[errors.PipelineError], last: str
) -> None:
    """A gated model is not let in by a bucket's policy, and half a model is not mended in a JSONL file."""

    def raises(ctx: Context) -> None:
        raise kind("It is so. Do this.")

    outcome, records, _ = failing(raises)
    assert (outcome.outcome, path(records)[-1]) == ("stopped", last)
    assert outcome.message == f"one, Work: It is so. Do this. {RESUME}"


def test_throttling_is_retried_five_times_and_then_given_up(
    failing: Failing,
) -> None:
    calls = []

    def throttled(ctx: Context) -> None:
        calls.append(ctx.visit)
        raise errors.ThrottlingException("slow down")

    outcome, records, _ = failing(throttled)
    assert outcome.outcome == "stopped"
    assert len(calls) == 6
    assert path(records).count("RetryInvoke") == 5
    assert path(records)[-1] == "SkipPrompt"


def test_a_skipped_item_is_recorded_with_its_reason_and_the_state_goes_on(
    failing: Failing,
) -> None:
    def one_bad(ctx: Context) -> None:
        if "b.c" not in ctx.skipped:
            raise errors.EncodingError("b.c is not text", item="b.c")
        assert ctx.skipped["b.c"] == "b.c is not text"

    outcome, records, _ = failing(one_bad)
    assert outcome.outcome == "done", outcome.message
    assert path(records) == ["EncodingError", "TryLatin1", "SkipFile"]
    assert [r["skipped"] for r in records if r["kind"] == "verdict"] == [{"b.c": "b.c is not text"}]


@pytest.mark.parametrize(("fits", "outcome"), [(2, "done"), (0, "stopped")])
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_effective_one(
    failing: Failing, fits: int, outcome: str
) -> None:
    tried = []

    def needs_memory(ctx: Context) -> None:
        tried.append((ctx.data["micro_batch"], ctx.data["accumulation"]))
        if ctx.data["micro_batch"] > fits:
            raise errors.CUDAOutOfMemory("CUDA out of memory")

    ended, _, _ = failing(needs_memory)
    assert ended.outcome == outcome
    assert tried == [(8, 8), (4, 16), (2, 32), (1, 64)][: 3 if fits else 4]


def test_an_exception_that_fits_no_class_stops_with_its_traceback_in_the_record(failing: Failing) -> None:
    def broken(ctx: Context) -> None:
        raise ZeroDivisionError("by nought")

    outcome, records, _ = failing(broken)
    assert outcome.outcome == "stopped"
    (error,) = (r for r in records if r["kind"] == "error")
    assert error["recovery"] is None
    assert "in broken" in error["traceback"]
    assert failing(lambda ctx: None)[0].outcome == "done"


def test_a_spot_interruption_starts_the_state_again(failing: Failing) -> None:
    taken = []

    def taken_back(ctx: Context) -> None:
        taken.append(1)
        if len(taken) < 3:
            raise errors.SpotInterruption("taken back")

    outcome, records, _ = failing(taken_back)
    assert outcome.outcome == "done"
    assert path(records) == ["SpotInterruption", "ResumeFromCheckpoint"] * 2


def test_a_state_that_is_always_taken_back_is_not_started_again_for_ever(failing: Failing) -> None:
    taken = []

    def always(ctx: Context) -> None:
        taken.append(1)
        raise errors.SpotInterruption("taken back")

    outcome, _, _ = failing(always)
    assert outcome.outcome == "stopped"
    assert len(taken) == MOST_TRIES
