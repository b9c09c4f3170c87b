"""The handlers of Diagram 2.

data/raw/<domain>.json     what was listed                     data/raw/held_out.json   texts nothing is trained on
data/raw/<domain>.tar.zst  the files themselves                data/raw/<domain>.skipped.json   those not to be had
data/examples.json         the batches, and what was found     data/examples/00000.*    one batch (corpus.py)
data/skipped.jsonl         files left out, with the reason
data/unique.tsv            rows without duplicates, by number, and the group that each is not parted from
data/shuffled.tsv          the same in the order of the splits
data/{train,val}.tsv       the rows of each split; those beyond max_prompts are in none
data/splits/{train,val}.jsonl      as prepared                 data/processed/{train,val}.jsonl  as trained on
data/report.json, .svg     what all this came to
"""

from __future__ import annotations

from fsm.engine import Context, Phase
from phases.data_preparation import listing, processes
from phases.data_preparation.config import DataPreparationConfig
from phases.data_preparation.planning import CHUNK
from phases.data_preparation.processing import SourceFile
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
    if ctx.config.engine == "local":
        processes.begin(processes.of_work(ctx.config.workers, listing.size(ctx) // CHUNK))
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
    from phases.data_preparation.batching import process

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
    from phases.data_preparation import finalizing  # here and below: it brings numpy

    finalizing.deduplicate(ctx)


@PHASE.state("Finalize.ShuffleSeed42")
def shuffle_seed_42(ctx: Context) -> None:
    from phases.data_preparation import finalizing

    finalizing.shuffle(ctx)


@PHASE.state("Finalize.SplitAt90Pct")
def split_at_90_percent(ctx: Context) -> None:
    from phases.data_preparation import finalizing

    finalizing.split(ctx)


@PHASE.state("Finalize.WriteTrainJSONL", effects=True)
def write_train(ctx: Context) -> None:
    from phases.data_preparation import finalizing

    finalizing.write(ctx, "train")


@PHASE.state("Finalize.WriteValJSONL", effects=True)
def write_val(ctx: Context) -> None:
    from phases.data_preparation import finalizing, publishing

    finalizing.write(ctx, "val")
    publishing.publish_report(ctx)
    for path in ctx.workdir("data_preparation").iterdir():  # as large as the sources, and all of it is kept
        path.unlink()


def _listed(ctx: Context, domain: str) -> str:
    return "Objects found" if listing.listed(ctx, domain)["keys"] else _LABELS[domain]
