"""The handlers of Diagram 2.

data/raw/<domain>.json     what was listed                    data/examples.jsonl   one row for each example
data/raw/<domain>.tar      the files themselves               data/unique.jsonl     without duplicates
data/skipped.jsonl         files left out, with the reason    data/shuffled.jsonl   in the order of the splits
data/splits/{train,val}.jsonl      as prepared                data/processed/{train,val}.jsonl  as trained on
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fsm.engine import Context, Phase
from phases.data_preparation import archive, examples
from phases.data_preparation.config import DOMAINS, DataPreparationConfig
from phases.data_preparation.processing import SourceFile
from phases.data_preparation.sources import Object, Source, open_source
from phases.decoding import NotText, decode_latin1, decode_utf8
from phases.errors import EmptyDataset

PHASE = Phase("data_preparation", config=DataPreparationConfig)

_LABELS = {"TSN": "No TSN data", "AVB": "No AVB data", "CARLA": "No CARLA data"}


@PHASE.state("CreateDirectories")
def create_directories(ctx: Context) -> None:
    """Make the directory that downloads pass through; what is kept goes into artifacts."""
    ctx.workdir("data_preparation")


@PHASE.state("InitS3Client")
def init_s3_client(ctx: Context) -> None:
    """Open the source once, so that one that is not there is found before anything is listed."""
    ctx.data["source"] = _source(ctx).url


@PHASE.state("S3Download.ListTSNObjects")
def list_tsn(ctx: Context) -> str:
    """List the first source; where all three are empty, stop here, where a resume lists them again."""
    source = _source(ctx)
    if not any(_wanted(ctx, source, domain)[0] for domain in DOMAINS):
        folders = ", ".join(ctx.config.folders.of(domain) for domain in DOMAINS)
        raise EmptyDataset(
            f"No source files ({' '.join(ctx.config.suffixes)}) in {folders} below {source.url}. Put the raw code there "
            "and resume; or correct data_preparation.source or .folders and start anew with --fresh."
        )
    return _list(ctx, "TSN")


@PHASE.state("S3Download.ListAVBObjects")
def list_avb(ctx: Context) -> str:
    return _list(ctx, "AVB")


@PHASE.state("S3Download.ListCARLA")
def list_carla(ctx: Context) -> str:
    return _list(ctx, "CARLA")


@PHASE.state("S3Download.DownloadTSN")
def download_tsn(ctx: Context) -> None:
    _download(ctx, "TSN")


@PHASE.state("S3Download.DownloadAVB")
def download_avb(ctx: Context) -> None:
    _download(ctx, "AVB")


@PHASE.state("S3Download.DownloadCARLA")
def download_carla(ctx: Context) -> None:
    _download(ctx, "CARLA")


@PHASE.state("ProcessFiles")
def process_files(ctx: Context) -> None:
    """Walk every file through the inside of ProcessFiles, in key order within each source."""
    total = sum(ctx.data["objects"].values())
    walk = ctx.walk()
    rows, skipped = [], _too_long(ctx)
    for done, item in enumerate(_files(ctx)):
        ctx.progress(done, total, f"{item.domain} {item.key}")
        walk.run(item)
        rows += [example.row() for example in item.examples]
        if item.skipped:
            ctx.log.warning("file skipped", key=item.key, reason=item.skipped)
            skipped.append({"key": item.key, "domain": item.domain, "reason": item.skipped})
    ctx.data["skipped"] = len(skipped)
    ctx.data["examples"] = len(rows)
    ctx.put("data/skipped.jsonl", examples.to_jsonl(skipped))
    ctx.put("data/examples.jsonl", examples.to_jsonl(rows))
    if not rows:
        raise EmptyDataset(
            f"None of the {total} files below {ctx.data['source']} gave an example; all were skipped, the last one "
            f"({skipped[-1]['key']}) because of: {skipped[-1]['reason']}. Add C sources and start anew with --fresh."
        )


@PHASE.state("ProcessFiles.ReadFile")
def read_file(item: SourceFile) -> None:
    """The bytes are at hand: they were read from the archive when the file's turn came."""


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
    rows = examples.deduplicate(_rows(ctx, "data/examples.jsonl"))
    ctx.data["duplicates"] = ctx.data["examples"] - len(rows)
    ctx.data["unique"] = len(rows)
    ctx.put("data/unique.jsonl", examples.to_jsonl(rows))


@PHASE.state("Finalize.ShuffleSeed42")
def shuffle_seed_42(ctx: Context) -> None:
    rows = examples.shuffle(_rows(ctx, "data/unique.jsonl"), ctx.config.shuffle_seed)
    ctx.put("data/shuffled.jsonl", examples.to_jsonl(rows))


@PHASE.state("Finalize.SplitAt90Pct")
def split_at_90_percent(ctx: Context) -> None:
    train = examples.split_at(ctx.data["unique"], ctx.config.train_percent)
    ctx.data["train"] = train
    ctx.data["val"] = ctx.data["unique"] - train


@PHASE.state("Finalize.WriteTrainJSONL")
def write_train(ctx: Context) -> None:
    _write(ctx, "train", slice(None, ctx.data["train"]))


@PHASE.state("Finalize.WriteValJSONL")
def write_val(ctx: Context) -> None:
    _write(ctx, "val", slice(ctx.data["train"], None))


def _source(ctx: Context) -> Source:
    config: DataPreparationConfig = ctx.config

    def tells(error: Exception, seconds: float) -> None:
        ctx.log.warning("no answer, asking again", error=str(error), seconds=round(seconds, 1))

    return open_source(
        config.source,
        endpoint_url=config.endpoint_url,
        region=config.region,
        patience=config.patience_seconds,
        tells=tells,
    )


def _wanted(ctx: Context, source: Source, domain: str) -> tuple[list[Object], list[Object]]:
    """The source files of a domain, and those that are too long to be somebody's code."""
    found = source.list(ctx.config.folders.of(domain))
    code = [file for file in found if file.key.lower().endswith(tuple(ctx.config.suffixes))]
    most = ctx.config.max_file_bytes
    return [file for file in code if file.size <= most], [file for file in code if file.size > most]


def _list(ctx: Context, domain: str) -> str:
    files, too_long = _wanted(ctx, _source(ctx), domain)
    listed: dict[str, Any] = {
        "keys": [file.key for file in files],
        "too_long": [[file.key, file.size] for file in too_long],
    }
    if any(file.etag for file in files):  # of a bucket: what was listed is what will be read
        listed["versions"] = [[file.size, file.etag] for file in files]
    ctx.put(f"data/raw/{domain}.json", json.dumps(listed, indent=1, ensure_ascii=False))
    ctx.data["objects"] = {**ctx.data.get("objects", {}), domain: len(files)}
    return "Objects found" if files else _LABELS[domain]


def _download(ctx: Context, domain: str) -> None:
    source = _source(ctx)
    listed = _listed(ctx, domain)
    keys = listed["keys"]
    versions = listed.get("versions") or [None] * len(keys)

    def contents() -> Iterator[tuple[str, bytes]]:
        for done, (key, version) in enumerate(zip(keys, versions, strict=True)):
            ctx.progress(done, len(keys), key)
            yield key, source.read(key, Object(key, *version) if version else None)

    path = ctx.workdir("data_preparation") / f"{domain}.tar"
    archive.pack(path, contents())
    ctx.put(f"data/raw/{domain}.tar", path)
    path.unlink()


def _listed(ctx: Context, domain: str) -> dict[str, list[Any]]:
    listed: dict[str, list[Any]] = json.loads(ctx.open(f"data/raw/{domain}.json").read_text("utf-8"))
    return listed


def _too_long(ctx: Context) -> list[dict[str, str]]:
    reason = f"{{}} bytes; data_preparation.max_file_bytes is {ctx.config.max_file_bytes}"
    return [
        {"key": key, "domain": domain, "reason": reason.format(size)}
        for domain in DOMAINS
        for key, size in _listed(ctx, domain)["too_long"]
    ]


def _files(ctx: Context) -> Iterator[SourceFile]:
    # one seed for all files: what a function becomes depends on its text, wherever it stands
    seed = ctx.seed("examples")
    for domain in DOMAINS:
        if ctx.data["objects"][domain]:
            for key, content in archive.unpack(ctx.open(f"data/raw/{domain}.tar")):
                yield SourceFile(key, domain, content, seed, ctx.config.min_completion_chars)


def _rows(ctx: Context, name: str) -> list[dict[str, object]]:
    return examples.from_jsonl(ctx.open(name).read_text("utf-8"))


def _write(ctx: Context, split: str, part: slice) -> None:
    rows = _rows(ctx, "data/shuffled.jsonl")[part]
    ctx.put(f"data/splits/{split}.jsonl", examples.to_jsonl(rows))
    ctx.put(f"data/processed/{split}.jsonl", examples.to_jsonl(examples.processed(row) for row in rows))
