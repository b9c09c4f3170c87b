"""One batch inference job for many prompts, at half the price: it fills the ledger, and the window then finds its answers.

What the job rejects is in no entry, and so is asked call by call as ever. The job's name is derived from run, place and
visit: a run that was killed while it waited finds it again. It reads PLACE/NAME/asked.jsonl and writes below PLACE/NAME/out/;
PLACE/NAME/names.txt has the entries' names, one for each record.
(https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html)
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from fsm.engine import Context
from fsm.faults import Patient
from phases.errors import AccessDenied, BudgetReached
from phases.services import asked, client
from phases.teacher_generation.bedrock import BedrockTeacher, control_client
from phases.teacher_generation.config import (
    PROFILED,
    AskingConfig,
    BatchConfig,
    TeacherConfig,
    TeacherGenerationConfig,
)
from phases.teacher_generation.desk import model_of, price_of
from phases.teacher_generation.ledger import Entry, Ledger, Paid
from phases.teacher_generation.prices import FREE, Price, bound, usage
from phases.teacher_generation.teacher import is_response

DISCOUNT = 0.5  # of the price call by call (https://aws.amazon.com/bedrock/pricing/)
MINIMUM = 100
"""Records that a job must have, where Service Quotas cannot be asked."""
MAXIMUM = 50_000
"""Records that a job may have (Service Quotas, "Records per batch inference job"); the rest is another job's."""
AT_ONCE = 256  # prompts that are looked up, or answers that are entered, together
ENDED = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
_GAVE_ANSWERS = frozenset({"Completed", "PartiallyCompleted", "Expired"})


@dataclass(frozen=True)
class Service:
    """The clients of a batch, and how patiently they are asked."""

    settings: TeacherConfig
    control: Any = field(repr=False)
    s3: Any = field(repr=False)
    patient: Patient = field(default_factory=lambda: Patient("Bedrock"), repr=False)

    @classmethod
    def of(cls, settings: TeacherConfig) -> Service:
        assert settings.batch is not None  # by its configuration
        s3 = client("s3", region=settings.region, endpoint_url=settings.batch.endpoint_url)
        return cls(settings, control_client(settings), s3)

    @property
    def batch(self) -> BatchConfig:
        assert self.settings.batch is not None
        return self.settings.batch

    def minimum(self) -> int:
        """Records that a job must have: by the configuration, by Service Quotas, or as a rule."""
        if self.batch.minimum is not None:
            return self.batch.minimum
        quotas = client(
            "service-quotas", region=self.settings.region, endpoint_url=self.settings.control_endpoint_url
        )
        try:
            pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock")
            found = [q for page in pages for q in page["Quotas"]]
        except Exception:  # it is not vital: a job that is too small fails, and says how many it wants
            return MINIMUM
        return least_of(found, self.settings.model)


def least_of(quotas: Iterable[Mapping[str, Any]], model: str) -> int:
    """The minimum of records for a model, by the quota whose name names it; MINIMUM where none does."""
    own = _words(PROFILED.sub("", model))
    for quota in quotas:
        kind, _, named = quota.get("QuotaName", "").partition(" batch inference job for ")
        if (
            kind.endswith("Minimum number of records per")
            and (words := _words(named))
            and words == own[: len(words)]
        ):
            return int(quota["Value"])
    return MINIMUM


def _words(name: str) -> list[str]:
    """`anthropic.claude-sonnet-4-5-20250929-v1:0` and `Claude Sonnet 4.5` alike as claude sonnet 4 5 ..., maker left out."""
    words = re.findall(r"[a-z]+|\d+", name.lower())
    return words[words.index("claude") :] if "claude" in words else words


def fill(
    ctx: Context,
    prompts: Callable[[], Iterable[str]],
    ledger: Ledger,
    config: TeacherGenerationConfig,
    run: str,
) -> None:
    """Have prompts that the ledger has no answer for answered by batch jobs, and enter the answers. A job of another run that
    has some of them under way is awaited as if it were this one's: whether who sent it lives does not matter.

    Raises:
        BudgetReached: the job could cost more than is left; nothing was sent.
        AccessDenied: Bedrock ended the job without answers, or somebody stopped it.
        Unanswered: Bedrock or S3 gave no clear answer.
    """
    service, teacher = Service.of(config.teacher), BedrockTeacher(config.teacher)
    for paid in ledger.jobs():
        if paid.run != run:
            _Job(
                ctx, service, teacher, ledger, config, paid.run, paid.job.rpartition("/")[2], paid.job
            ).follow(prompts)
    rest = iter(prompts())
    for number in itertools.count():
        # a job that failed is not found again by the next attempt
        name = ctx.effect_name(f"teacher-{number}-{ctx.failures}" if number or ctx.failures else "teacher")
        job = _Job(ctx, service, teacher, ledger, config, run, name)
        if not job.run(rest):
            return


@dataclass
class _Job:
    """One job, from its records to the entries. `run_name` pays for it; `url` is where another run put its objects."""

    ctx: Context
    service: Service
    teacher: BedrockTeacher
    ledger: Ledger
    asking: AskingConfig
    run_name: str
    name: str
    url: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Bucket, and prefix of this job's objects."""
        bucket, _, prefix = self._url.removeprefix("s3://").partition("/")
        return bucket, prefix

    @property
    def _url(self) -> str:
        return self.url or f"{self.service.batch.place.rstrip('/')}/{self.name}"

    def run(self, prompts: Iterator[str]) -> bool:
        """Do it all; whether there may be more prompts than the job could have."""
        directory = self.ctx.workdir("batch")
        records, names = directory / "asked.jsonl", directory / "names.txt"
        try:
            job = self._find()
            if job is not None and self._fetch("names.txt", names):
                self.ctx.log.info(f"the batch job {self.name} is there, and is followed")
            else:
                number, most = self._write(prompts, records, names)
                least = self.service.minimum()
                if number < least:
                    if number:
                        self.ctx.log.info(
                            f"{number} prompts are to be asked, and a batch job has {least} at least: they are asked one by one"
                        )
                    return False
                self._open(most)
                self._send(records, names)
                job = self._create()
            found = self._wait(job, _read(names))
            answered, rejected = self._enter(found, names)
            self._close()
        finally:
            if names.is_file():
                self.ledger.let_go(_read(names))
        self.ctx.log.info(
            f"the batch job {self.name} has ended ({found['status']})", answered=answered, rejected=rejected
        )
        return answered + rejected >= MAXIMUM

    def follow(self, prompts: Callable[[], Iterable[str]]) -> None:
        """Await another run's job, if it is at work at any of the prompts, and enter what it answers, as paid by that run."""
        names = self.ctx.workdir("batch") / "others.txt"
        if (job := self._find()) is None or not self._fetch("names.txt", names):
            return
        theirs = set(_read(names))
        theirs -= self.ledger.has(theirs)
        if not any(
            self.ledger.name(self.teacher.question(prompt), n) in theirs
            for prompt in prompts()
            for n in range(self.asking.best_of)
        ):
            return
        self.ctx.log.info(
            f"the batch job {self.name} of the run {self.run_name} is at these prompts, and is awaited"
        )
        try:
            answered, _ = self._enter(self._wait(job, ()), names)
        except AccessDenied as failed:  # whoever sent it tells its own user; here another is made
            self.ctx.log.warning(str(failed))
            return
        self._close()
        self.ctx.log.info(f"the batch job {self.name} has ended", answered=answered)

    # Before

    def _find(self) -> Any:
        """The job of that name, where it is there already."""

        def listed() -> Any:
            pages = self.service.control.get_paginator("list_model_invocation_jobs").paginate(
                nameContains=self.name
            )
            jobs = [
                job for page in pages for job in page["invocationJobSummaries"] if job["jobName"] == self.name
            ]
            return jobs[0]["jobArn"] if jobs else None

        return self._asked(listed, "looking for the batch job")

    def _write(self, prompts: Iterator[str], records: Path, names: Path) -> tuple[int, Decimal]:
        """Write what the ledger has no answer for; (records, dollars at most)."""
        number, most, price = 0, Decimal(0), None
        samples = self.asking.best_of
        with records.open("w", encoding="utf-8") as asked, names.open("w", encoding="ascii") as named:
            while number + AT_ONCE * samples <= MAXIMUM and (
                some := list(itertools.islice(prompts, AT_ONCE))
            ):
                questions = [self.teacher.question(prompt) for prompt in some]
                price = price or self._price(questions[0])
                of = [(q, str(self.ledger.name(q, n))) for q in questions for n in range(samples)]
                ours = self._claimed([name for _, name in of])
                for question, name in of:
                    if name in ours:
                        ours.discard(name)  # two prompts may come to one question
                        record = {k: v for k, v in question.items() if k not in ("kind", "model")}
                        asked.write(json.dumps({"recordId": f"R{number:010d}", "modelInput": record}) + "\n")
                        named.write(name + "\n")
                        most += bound(price, question)
                        number += 1
        return number, most

    def _claimed(self, names: list[str]) -> set[str]:
        """Those without an entry that nobody else is at. What another run has under way the window waits for."""
        there = self.ledger.has(names)
        ours = self.ledger.claim(name for name in names if name not in there)
        since = self.ledger.has(ours)  # of somebody who was at it until now
        self.ledger.let_go(since)
        return ours - since

    def _price(self, question: Mapping[str, Any]) -> Price:
        return (price_of(self.teacher, question, self.asking) or FREE).scaled(DISCOUNT)

    def _open(self, most: Decimal) -> None:
        """Reserve what the job can cost: as open in the ledger, by the job's name, so that a second attempt does not add to it.

        Raises BudgetReached.
        """
        limit = self.asking.max_cost_usd
        if limit is not None and (spent := self.ledger.spent(self.run_name)) + most > Decimal(str(limit)):
            raise BudgetReached(
                f"The batch job may cost ${most:.4f}, and of teacher_generation.max_cost_usd ${limit:.2f} ${spent:.4f} are spent. "
                "Nothing was sent. Raise the budget, lower teacher_generation.teacher.max_tokens or teacher_generation.limit, and "
                "give the same command again."
            )
        self.ledger.note(Paid(self.run_name, "", usd=str(most), what="open", job=self._url), self.name)
        self.ctx.log.info(f"a batch job is sent: it costs ${most:.4f} at most", job=self.name)

    def _close(self) -> None:
        """Nothing is under way any more: take off again what was entered as open."""
        opened = self.ledger.noted("open", self.run_name, self.name)
        if opened is not None:
            paid = Paid(self.run_name, "", usd=str(-opened.dollars), what="closed", job=opened.job)
            self.ledger.note(paid, self.name)

    def _send(self, *files: Path) -> None:
        bucket, prefix = self.place
        for path in files:

            def put(path: Path = path) -> None:
                with path.open("rb") as file:
                    self.service.s3.upload_fileobj(file, bucket, f"{prefix}/{path.name}")

            self._asked(put, f"writing s3://{bucket}/{prefix}/{path.name}")

    def _fetch(self, name: str, to: Path) -> bool:
        """A file of the job's, where there is one."""
        bucket, prefix = self.place

        def get() -> bool:
            from botocore.exceptions import ClientError

            try:
                with to.open("wb") as file:
                    self.service.s3.download_fileobj(bucket, f"{prefix}/{name}", file)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    return False
                raise
            return True

        return bool(self._asked(get, f"reading s3://{bucket}/{prefix}/{name}"))

    def _create(self) -> Any:
        bucket, prefix = self.place
        request = {
            "jobName": self.name,
            "clientRequestToken": self.name,  # so that a second request is the first
            "roleArn": self.service.batch.role,
            "modelId": self.teacher.name,
            "modelInvocationType": "Converse",
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"s3://{bucket}/{prefix}/asked.jsonl"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"s3://{bucket}/{prefix}/out/"}},
            "timeoutDurationInHours": self.service.batch.hours,
        }
        return self._asked(
            lambda: self.service.control.create_model_invocation_job(**request)["jobArn"],
            "creating the batch job",
        )

    # Meanwhile, and after

    def _wait(self, arn: str, held: Iterable[str]) -> dict[str, Any]:
        """What the job is when it has ended. The names in `held` stay claimed. Raises AccessDenied where it has no answers."""
        while True:
            self.ledger.claim(held)
            found: dict[str, Any] = self._asked(
                lambda: self.service.control.get_model_invocation_job(jobIdentifier=arn),
                "looking at the batch job",
            )
            if found["status"] in ENDED:
                break
            done, total = found.get("processedRecordCount", 0), found.get("totalRecordCount", 0)
            self.ctx.progress(done, max(total, 1), f"batch job {self.name}: {found['status']}")
            time.sleep(self.service.batch.poll_seconds)
        if found["status"] not in _GAVE_ANSWERS:
            self._close()
            why = found.get("message") or "the service gave no reason"
            raise AccessDenied(
                f"The batch job {self.name} is {found['status']}: {why.rstrip('.')}. See to what the message says, and give the same "
                "command again: another job is made for what has no answer yet."
            )
        return found

    def _enter(self, job: Mapping[str, Any], names: Path) -> tuple[int, int]:
        """Enter the answers; (answers, records without one)."""
        bucket, prefix = self.place
        key = f"{prefix}/out/{job['jobArn'].rpartition('/')[2]}/asked.jsonl.out"
        total = len(_read(names))

        def entered() -> int:
            answered = 0
            body = self.service.s3.get_object(Bucket=bucket, Key=key)["Body"]
            known = _read(names)
            with ThreadPoolExecutor(self.asking.workers) as threads:
                rows = (json.loads(line) for line in body.iter_lines() if line)
                while some := list(itertools.islice(rows, AT_ONCE)):
                    answered += sum(threads.map(lambda row: self._one(row, known), some))
            return answered

        answered = int(self._asked(entered, f"reading s3://{bucket}/{key}"))
        return answered, total - answered

    def _one(self, row: Mapping[str, Any], names: list[str]) -> bool:
        """Enter one answer, if the row has one."""
        response: dict[str, Any] = row.get("modelOutput") or {}
        if not is_response(response):
            return False
        read, written, *cached = usage(response) or (0, 0, 0, 0)
        question = {"model": self.teacher.name}
        price = price_of(self.teacher, question, self.asking)
        usd = "" if price is None else str(price.scaled(DISCOUNT).of(read, written, *cached))
        paid = Paid(self.run_name, model_of(self.teacher, question), read + sum(cached), written, usd)
        self.ledger.keep(names[int(row["recordId"][1:])], Entry(response, paid=paid))
        return True

    def _asked(self, call: Any, doing: str) -> Any:
        return asked(self.service.patient, call, f"{doing} {self.name}")


def _read(names: Path) -> list[str]:
    """The names of the entries that a job is to fill, in the order of its records."""
    return names.read_text("ascii").splitlines()
