"""The handlers of Diagram 2.

data/raw/<domain>.json     what was listed                     data/raw/held_out.json   texts nothing is trained on
data/raw/<domain>.tar.gz   the files themselves                data/raw/<domain>.skipped.json   those not to be had
data/examples.json         the batches, and what was found     data/examples/00000.*    one batch (corpus.py)
data/skipped.jsonl         files left out, with the reason
data/unique.tsv            rows without duplicates, by number, and the group that each is not parted from
data/shuffled.tsv          the same in the order of the splits
data/split.tsv             the same with the split of each; rows beyond max_prompts are in none
data/splits/{train,val}.jsonl      as prepared                 data/processed/{train,val}.jsonl  as trained on
data/report.json, .svg     what all this came to
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from fsm.engine import Context, Phase
from phases.data_preparation import listing, publishing, splitting
from phases.data_preparation import report as reports
from phases.data_preparation.batching import process
from phases.data_preparation.config import DataPreparationConfig
from phases.data_preparation.corpus import Corpus
from phases.data_preparation.processing import SourceFile
from phases.data_preparation.splitting import Row
from phases.decoding import NotText, decode_latin1, decode_utf8

PHASE = Phase("data_preparation", config=DataPreparationConfig)

_LABELS = {"TSN": "No TSN data", "AVB": "No AVB data", "CARLA": "No CARLA data"}


@PHASE.state("CreateDirectories")
def create_directories(ctx: Context) -> None:
    """Make the directory that downloads pass through; what is kept goes into artifacts."""
    ctx.workdir("data_preparation")


@PHASE.state("InitS3Client")
def init_s3_client(ctx: Context) -> None:
    """Open the source once, so that one that is not there is found before anything is listed."""
    ctx.data["source"] = listing.source(ctx).url


@PHASE.state("S3Download.ListTSNObjects")
def list_tsn(ctx: Context) -> str:
    """List all sources, each once; where all three are empty, stop here, where a resume lists them again."""
    listing.hold_out(ctx)
    listing.list_all(ctx)
    return _listed(ctx, "TSN")


@PHASE.state("S3Download.ListAVBObjects")
def list_avb(ctx: Context) -> str:
    return _listed(ctx, "AVB")


@PHASE.state("S3Download.ListCARLA")
def list_carla(ctx: Context) -> str:
    return _listed(ctx, "CARLA")


@PHASE.state("S3Download.DownloadTSN")
def download_tsn(ctx: Context) -> None:
    listing.download(ctx, "TSN")


@PHASE.state("S3Download.DownloadAVB")
def download_avb(ctx: Context) -> None:
    listing.download(ctx, "AVB")


@PHASE.state("S3Download.DownloadCARLA")
def download_carla(ctx: Context) -> None:
    listing.download(ctx, "CARLA")


@PHASE.state("ProcessFiles")
def process_files(ctx: Context) -> None:
    """Walk every file through the inside of ProcessFiles, in key order within each source."""
    process(ctx)


@PHASE.state("ProcessFiles.ReadFile")
def read_file(item: SourceFile) -> str | None:
    """The bytes are at hand, read from the archive when the file's turn came; unless they were not to be had."""
    return "Cannot be read" if item.skipped else None


@PHASE.state("ProcessFiles.DecodeUTF8")
def decode_as_utf8(item: SourceFile) -> str:
    try:
        item.text = decode_utf8(item.content)
    except NotText as error:
        item.skipped = f"not UTF-8 ({error})"
        return "UnicodeDecodeError"
    return "Success"


@PHASE.state("ProcessFiles.DecodeLatin1")
def decode_as_latin1(item: SourceFile) -> str:
    try:
        item.text = decode_latin1(item.content)
    except NotText as error:
        item.skipped += f", not Latin-1 ({error})"
        return "Failed"
    item.skipped = ""
    return "Success"


@PHASE.state("ProcessFiles.ExtractFunctions")
def extract(item: SourceFile) -> str:
    return item.extract()


@PHASE.state("ProcessFiles.GeneratePrompts")
def generate_prompts(item: SourceFile) -> None:
    """Begin with the first function."""
    item.at = 0


@PHASE.state("ProcessFiles.SelectTemplate")
def select_template(item: SourceFile) -> None:
    item.select_template()


@PHASE.state("ProcessFiles.GenerateCodeCompletion")
def generate_code_completion(item: SourceFile) -> None:
    item.split_code()


@PHASE.state("ProcessFiles.SplitCode")
def split_code(item: SourceFile) -> None:
    """Cut the text in two at the point chosen."""
    item.head, item.rest = item.text[: item.split], item.text[item.split :]


@PHASE.state("ProcessFiles.FormatOutput")
def format_output(item: SourceFile) -> str:
    return item.format_output()


@PHASE.state("ProcessFiles.SkipFile")
def skip_file(item: SourceFile) -> None:
    """A file that gives no example leaves no half of one behind."""
    item.examples.clear()


@PHASE.state("Finalize.DeduplicateMD5")
def deduplicate_md5(ctx: Context) -> None:
    """Leave the first of equal rows, no held-out one, and, as configured, one of those that are nearly equal."""
    kept = reports.Dropping(Corpus(ctx))
    kept.keep("duplicates", splitting.first_of_each(kept.corpus.index["md5"]))
    kept.keep("held out", kept.rows[kept.corpus.index["held_out"][kept.rows] == 0])
    rows = [Row(row, row) for row in kept.rows.tolist()]
    if ctx.config.near_dedup != "off" and len(rows) > 1:
        apart = _apart(ctx, kept)
        rows = apart or rows
        if not apart:
            ctx.data["alike"] = True
            ctx.log.warning(reports.ALIKE.format(len(rows)))
    ctx.data["duplicates"] = sum(kept.dropped["duplicates"].values())
    ctx.data["unique"] = len(rows)
    ctx.data["dropped"] = kept.dropped
    _put_rows(ctx, "data/unique.tsv", ((row, ()) for row in rows))


@PHASE.state("Finalize.ShuffleSeed42")
def shuffle_seed_42(ctx: Context) -> None:
    rows = splitting.shuffle(_rows(ctx, "data/unique.tsv"), ctx.config.shuffle_seed)
    _put_rows(ctx, "data/shuffled.tsv", ((row, ()) for row in rows))


@PHASE.state("Finalize.SplitAt90Pct")
def split_at_90_percent(ctx: Context) -> None:
    """Say which rows are for what, and tell what it all came to, before anything is asked of a teacher."""
    rows = _rows(ctx, "data/shuffled.tsv")
    train, val = splitting.split(rows, ctx.config.train_percent)
    known = Corpus(ctx)
    if (most := ctx.config.max_prompts) is not None:
        percent = ctx.config.train_percent
        bounds = (most, max(1, most * (100 - percent) // percent))
        train, val = (
            splitting.bounded(part, bound, known.index["domain"], known.index["length"])
            for part, bound in zip((train, val), bounds, strict=True)
        )
    ctx.data["train"], ctx.data["val"] = len(train), len(val)
    split = {row.number: name for name, part in (("train", train), ("val", val)) for row in part}
    _put_rows(ctx, "data/split.tsv", ((row, (split.get(row.number, ""),)) for row in rows))
    told = reports.report(ctx, known, train, val)
    ctx.data["prompts"] = told["prompts"]
    ctx.put("data/report.json", json.dumps(told, indent=1, ensure_ascii=False))
    ctx.put("data/report.svg", reports.picture(told))
    for line in reports.table(told).splitlines():
        ctx.log.unbind("place").info(line)


@PHASE.state("Finalize.WriteTrainJSONL", effects=True)
def write_train(ctx: Context) -> None:
    _write(ctx, "train")


@PHASE.state("Finalize.WriteValJSONL", effects=True)
def write_val(ctx: Context) -> None:
    _write(ctx, "val")
    publishing.publish_report(ctx)
    for path in ctx.workdir("data_preparation").iterdir():  # as large as the sources, and all of it is kept
        path.unlink()


def _apart(ctx: Context, kept: reports.Dropping) -> list[Row]:
    """The rows in groups that the split keeps together, without near-duplicates where one of each is to stay.

    None, and nothing falls away, where that leaves a single group: what is all alike cannot be kept apart.
    """
    groups = kept.corpus.clusters(kept.rows)
    clusters = kept.clusters(groups)
    one = ctx.config.near_dedup == "keep-one"
    stay = kept.rows[[groups.find(int(row)) == row for row in kept.rows]] if one else kept.rows
    groups.join_equal(kept.corpus.index["prompt"], stay)
    rows = [Row(row, groups.find(row)) for row in stay.tolist()]
    if len({row.group for row in rows}) < 2:
        return []
    kept.dropped["clusters"] = clusters
    if one:
        kept.keep("near-duplicates", stay)
    return rows


def _listed(ctx: Context, domain: str) -> str:
    return "Objects found" if listing.listed(ctx, domain)["keys"] else _LABELS[domain]


def _put_rows(ctx: Context, name: str, rows: Iterable[tuple[Row, tuple[str, ...]]]) -> None:
    lines = ("\t".join((str(row.number), str(row.group), *more)) + "\n" for row, more in rows)
    text = "".join(lines)
    ctx.put(name, text, records=text.count("\n"))


def _rows(ctx: Context, name: str, split: str | None = None) -> list[Row]:
    with ctx.open(name).open(encoding="utf-8") as lines:
        said = (line.rstrip("\n").split("\t") for line in lines)
        return [Row(int(number), int(group)) for number, group, *of in said if split is None or of == [split]]


def _write(ctx: Context, split: str) -> None:
    """Write the rows of a split, as prepared and as trained on, and the former where the output is to go besides."""
    known, rows = Corpus(ctx), _rows(ctx, "data/split.tsv", split)
    work = ctx.workdir("data_preparation")
    prepared, processed = (work / f"{split}.{how}.jsonl" for how in ("prepared", "processed"))
    with known.open() as lines, prepared.open("wb") as one, processed.open("wb") as other:
        for done, row in enumerate(rows):
            if done % 1000 == 0:
                ctx.progress(done, len(rows), f"rows of {split}.jsonl")
            line = known.line(lines, row.number)
            one.write(line)
            other.write(known.trained_on(line, row.number))
    ctx.put(f"data/splits/{split}.jsonl", prepared)
    ctx.put(f"data/processed/{split}.jsonl", processed)
    publishing.publish(ctx, f"{split}.jsonl", prepared)
    for path in (prepared, processed):
        path.unlink()
