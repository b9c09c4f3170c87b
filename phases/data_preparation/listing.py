"""What the sources hold, told once, and brought into one archive for each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from fsm.engine import Context
from fsm.errors import PhaseError
from fsm.text import spelt
from phases.data_preparation import archive
from phases.data_preparation.archive import Packing
from phases.data_preparation.config import DOMAINS, DataPreparationConfig
from phases.data_preparation.licences import is_licence_file, of_trees
from phases.data_preparation.planning import File
from phases.data_preparation.sources import Listing, Object, Source, Unreadable, open_source
from phases.errors import EmptyDataset, InvalidStructure

HELD_OUT = "data/raw/held_out.json"
LICENCES = "data/raw/licences.json"
MOST_OF_A_LICENCE = 1 << 20  # bytes
SHOWN = 8  # names in a message


def source(ctx: Context) -> Source:
    """The configured source, opened."""
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


def hold_out(ctx: Context) -> None:
    """Keep the held-out texts as they are now, so that all files are held against the same."""
    files = list(ctx.config.decontaminate)
    try:
        frozen = getattr(ctx.section("distillation"), "held_out_file", None)
    except PhaseError:  # this machine runs alone
        frozen = None
    if frozen and Path(frozen).is_file():  # another run's artifact it may be, which is not of these sources
        files.append(frozen)
    if files:
        from phases.data_preparation import held_out

        texts = held_out.read(files)
        ctx.put(HELD_OUT, json.dumps(texts, indent=0, ensure_ascii=False))


def held_out_texts(ctx: Context) -> list[str]:
    """The held-out texts; none where none are configured."""
    texts: list[str] = json.loads(ctx.open(HELD_OUT).read_text("utf-8")) if ctx.has(HELD_OUT) else []
    return texts


def list_all(ctx: Context) -> None:
    """List every source. Raises EmptyDataset where there is no source file in any."""
    root = source(ctx)
    found = {domain: root.list(ctx.config.folders.of(domain)) for domain in DOMAINS}
    for domain, listing in found.items():
        _put(ctx, domain, listing)
    if not any(ctx.data["objects"].values()):
        raise EmptyDataset(
            f"No source files ({' '.join(ctx.config.suffixes)}) below {root.url}: {_looked_at(ctx, found)}{_folders(root)} Put "
            "the raw code there and resume; or correct data_preparation.source or .folders and start anew with --fresh."
        )
    _put_licences(ctx, root, found)
    for domain, listing in found.items():
        folder = ctx.config.folders.of(domain)
        if not listing.there:
            ctx.log.warning(f"no folder {folder} below {root.url}.{_folders(root)}", domain=domain)
        for left in listing.left_out:
            if left.key.endswith("/"):
                ctx.log.warning("directory skipped", key=spelt(left.key), reason=left.reason)


def _put(ctx: Context, domain: str, listing: Listing) -> None:
    suffixes, most = tuple(suffix.lower() for suffix in ctx.config.suffixes), ctx.config.max_file_bytes
    code = [file for file in listing.files if file.key.lower().endswith(suffixes)]
    files = [file for file in code if file.size <= most]
    reason = f"{{}} bytes; data_preparation.max_file_bytes is {most}"
    skipped = {file.key: reason.format(file.size) for file in code if file.size > most}
    skipped |= {
        spelt(left.key): left.reason
        for left in listing.left_out
        if left.key.lower().endswith((*suffixes, "/"))
    }
    said: dict[str, Any] = {
        "keys": [file.key for file in files],
        "sizes": [file.size for file in files],
        "skipped": dict(sorted(skipped.items())),
    }
    if any(file.etag for file in files):  # of a bucket: what was listed is what will be read
        said["etags"] = [file.etag for file in files]
    ctx.put(f"data/raw/{domain}.json", json.dumps(said, indent=1, ensure_ascii=False))
    ctx.data["objects"] = {**ctx.data.get("objects", {}), domain: len(files)}


def _put_licences(ctx: Context, root: Source, found: dict[str, Listing]) -> None:
    """Keep what the licence files of each folder say, and of a root that holds one tree for all."""
    listed = [*root.beside(), *(file for listing in found.values() for file in listing.files)]
    files = sorted({file for file in listed if is_licence_file(file.key)})
    texts = {
        file.key: content.decode("utf-8", "replace")
        for file, content in root.contents([file for file in files if file.size <= MOST_OF_A_LICENCE])
        if not isinstance(content, Unreadable)
    }
    ctx.put(LICENCES, json.dumps(of_trees(texts), indent=1, ensure_ascii=False, sort_keys=True))


def licences(ctx: Context) -> dict[str, str]:
    """The licences of folders, as SPDX expressions."""
    said: dict[str, str] = json.loads(ctx.open(LICENCES).read_text("utf-8"))
    return said


def _looked_at(ctx: Context, found: dict[str, Listing]) -> str:
    """What is in each folder, in words."""
    said = []
    for domain, listing in found.items():
        folder = ctx.config.folders.of(domain)
        if not listing.there:
            said.append(f"{folder} is not there")
            continue
        kinds = Counter(PurePosixPath(file.key).suffix or "no suffix" for file in listing.files)
        shown = ", ".join(f"{n} with {kind}" for kind, n in kinds.most_common(SHOWN))
        files = len(listing.files)
        held = f"{folder} holds {files} file{'' if files == 1 else 's'}{f' ({shown})' if shown else ''}"
        if listing.left_out:
            left = listing.left_out[0]
            held += f", and left out are {len(listing.left_out)}, {spelt(left.key)} because: {left.reason}"
        said.append(held)
    return f"{'; '.join(said)}."


def _folders(root: Source) -> str:
    names = root.folders()
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return f" The folders there are: {shown}." if names else " There are no folders."


def listed(ctx: Context, domain: str) -> dict[str, Any]:
    """What was listed of a source: `keys`, their `sizes`, of a bucket their `etags`, and what was `skipped`, with the reason."""
    said: dict[str, Any] = json.loads(ctx.open(f"data/raw/{domain}.json").read_text("utf-8"))
    return said


def size(ctx: Context) -> int:
    """Bytes of all files that were listed."""
    return sum(sum(listed(ctx, domain)["sizes"]) for domain in DOMAINS)


def skipped(ctx: Context) -> list[dict[str, str]]:
    """The files that the listing left out, with the reason."""
    return [
        {"key": key, "domain": domain, "reason": reason}
        for domain in DOMAINS
        for key, reason in listed(ctx, domain)["skipped"].items()
    ]


def download(ctx: Context, domain: str) -> None:
    """Bring what is listed into one archive. A kill repeats some 8 MB of it."""
    said = listed(ctx, domain)
    etags = said.get("etags") or [""] * len(said["keys"])
    files = [Object(*each) for each in zip(said["keys"], said["sizes"], etags, strict=True)]
    purpose = hashlib.sha256(json.dumps([ctx.config.source, files_said(files)]).encode()).hexdigest()
    packing = Packing(ctx.workdir("data_preparation") / f"{domain}.tar", purpose)
    total, done = sum(file.size for file in files), sum(file.size for file in files[: packing.done])
    for file, content in source(ctx).contents(files[packing.done :]):
        ctx.progress(done, total, f"bytes of {domain}: {file.key}")
        if isinstance(content, Unreadable):
            ctx.log.warning("file skipped", key=file.key, reason=str(content))
            packing.skip(file.key, str(content))
        else:
            packing.add(file.key, content)
        done += file.size
    packing.finish()
    packed = archive.compressed(packing.path)
    kept = ctx.put(_archive_name(domain), packed, records=packing.done - len(packing.skipped))
    if packing.skipped:
        ctx.put(_skipped_name(domain), json.dumps(packing.skipped, indent=1, ensure_ascii=False))
    packed.unlink()
    packing.move(_plain(ctx, domain, kept.sha256))


def files_said(files: list[Object]) -> list[list[Any]]:
    """What names files as they were listed."""
    return [[file.key, file.size, file.etag] for file in files]


def plain(ctx: Context, domain: str) -> Path:
    """The archive of a source, in the run's scratch, where it can be read anywhere in it."""
    packed = ctx.open(_archive_name(domain))
    path = _plain(ctx, domain, packed.name)
    if not path.exists():
        archive.expand(packed, path)
    return path


def archived(ctx: Context, domain: str) -> Iterator[File]:
    """The files of a source, in key order, each in its archive or not to be had.

    Raises InvalidStructure where the archive holds others than were listed.
    """
    said = listed(ctx, domain)
    name = _skipped_name(domain)
    lost: dict[str, str] = json.loads(ctx.open(name).read_text("utf-8")) if ctx.has(name) else {}
    held = archive.members(plain(ctx, domain))
    for key, size in zip(said["keys"], said["sizes"], strict=True):
        if key in lost:
            yield File(archive.Member(key, 0, 0), lost[key])
            continue
        member = next(held, None)
        if member is None or (member.key, member.size) != (key, size):
            raise _not_as_listed(domain, key, size, member)
        yield File(member)
    if (more := next(held, None)) is not None:
        raise _not_as_listed(domain, "nothing more", 0, more)


def _archive_name(domain: str) -> str:
    return f"data/raw/{domain}.tar.zst"


def _plain(ctx: Context, domain: str, sha256: str) -> Path:
    return ctx.workdir("data_preparation") / f"{domain}-{sha256[:16]}.tar"


def _skipped_name(domain: str) -> str:
    return f"data/raw/{domain}.skipped.json"


def _not_as_listed(domain: str, key: str, size: int, found: archive.Member | None) -> InvalidStructure:
    is_there = f"{found.key} with {found.size} bytes" if found else "nothing"
    return InvalidStructure(
        f"{_archive_name(domain)} holds {is_there}, where data/raw/{domain}.json lists {key} with {size} bytes. Begin the run anew with "
        "--fresh: the sources are then listed and brought again."
    )
