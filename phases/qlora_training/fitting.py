"""Whether settings, model and rows fit one another, looked at before a model is loaded, which takes minutes.

What is asked here is small: the model's configuration, its tokenizer, and the rows in tokens.
"""

from __future__ import annotations

from fsm.engine import Context
from phases.qlora_training import data
from phases.qlora_training.job import Job
from phases.sagemaker_job import ranks
from phases.student import model, preflight, session


def check(ctx: Context, job: Job) -> None:
    """Raises InvalidStructure for modules to adapt that the model lacks, and where more rows are too long than the
    settings allow; EmptyDataset where all are; NotProvided for packing that the model cannot; CUDAOutOfMemory for a GPU that is too small; and what reading a model's
    configuration and tokenizer raises.

    InvalidStructure too where the ranks that this process is one of cannot share the passes of a step out evenly.
    """
    from phases.qlora_training.dealing import share

    share(job.config.gradient_accumulation_steps, ranks.here().world)
    if note := preflight.alone():
        ctx.log.warning(note)
    config = job.config.model_copy(update={"model": session.base_directory(ctx, job)})
    shape = model.shape(config)
    preflight.modules(shape, config)
    preflight.packing(shape, config)
    if job.base is None:
        preflight.gpu(shape, config)
    tokenizer = model.load_tokenizer(config)
    model.fit_vocabulary(tokenizer, shape.get_text_config().vocab_size)
    for name in (job.train, job.validation):
        rows = data.read_jsonl(ctx.open(name))
        tokenized = data.tokenize(rows, tokenizer, config.max_length, name, model.context(shape))
        tokenized.require(config.max_dropped_share, name)


def choose(ctx: Context, job: Job) -> preflight.Chosen:
    """What `micro_batch: auto` comes to on this machine."""
    config = job.config.model_copy(update={"model": session.base_directory(ctx, job)})
    has, gpu = preflight.here()
    return preflight.choose(model.shape(config), config, has, gpu=gpu)
