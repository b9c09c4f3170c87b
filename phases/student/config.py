"""The numbers of QLoRA training; the defaults are those drawn in Diagram 5."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

GRANITE_8B = "ibm-granite/granite-4.1-8b"
GRANITE_8B_CODE = "ibm-granite/granite-8b-code-instruct-128k"


TINY = "tiny-granite"
"""As `model`: a tiny model of Granite's architecture that the run makes for itself (TinyStudentConfig)."""


ModuleName = Annotated[str, Field(min_length=1)]


class TinyStudentConfig(BaseModel):
    """The recipe of the tiny student: the shape of the model, and its base step on raw C.

    All of it goes into the cache key. Lengths are in tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    layers: int = Field(default=2, ge=1, le=256)
    width: int = Field(default=128, ge=8, le=16384)
    heads: int = Field(default=4, ge=1, le=256)
    kv_heads: int = Field(default=2, ge=1, le=256)
    feed_forward: int = Field(default=384, ge=8, le=65536)
    vocabulary: int = Field(default=1024, ge=260, le=10**6)
    context: int = Field(default=1024, ge=64, le=10**6)
    base_steps: int = Field(default=400, ge=0, le=10**7)
    base_batch: int = Field(default=16, ge=1, le=65536)
    base_length: int = Field(default=128, ge=8, le=10**6)
    base_learning_rate: float = Field(default=4e-3, gt=0, le=1)
    documented: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="The share of a base batch that is C below a note that tells its name and its constants, so that the "
        "base learns to copy these.",
    )
    copying: bool = Field(
        default=False,
        description="Its weights begin with a pair of heads that copies (phases/student/induction.py).",
    )
    number_digits: int = Field(
        default=1, ge=1, le=4, description="A number of up to so many digits is one token; of 1, digits are."
    )
    seed: int = Field(default=42, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _heads_that_copy_have_room(self) -> Self:
        size = self.width // self.heads
        if self.copying and (self.layers < 2 or self.heads < 2 or size % 4 or size < 24):
            raise ValueError(
                f"copying takes two layers, two heads and a width of 24 or more a head that can be divided by 4; the recipe has "
                f"{self.layers} layers, {self.heads} heads and {size} a head. Change these, or set copying: false."
            )
        return self


class QLoRAConfig(BaseModel):
    """One QLoRA training: which model, how it is quantised and adapted, and how it is trained.

    Lengths are in tokens, disk in GB (10^9 bytes), intervals in optimizer steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    model: str = Field(
        default=GRANITE_8B,
        description="A causal language model: an id on the Hugging Face hub, or a directory.",
    )
    revision: str | None = Field(
        default=None, min_length=1, description="A branch, a tag or a commit of a model on the hub."
    )
    offline: bool = Field(
        default=False, description="Never ask the hub: the model is a directory or in the local cache."
    )

    quantization: Literal["nf4", "none"] = "nf4"
    double_quantization: bool = True
    compute_dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto", description="auto: bfloat16 on a GPU that has it, float32 on a CPU."
    )
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    gradient_checkpointing: bool = True

    lora_rank: int = Field(default=32, ge=1, le=4096)
    lora_alpha: int = Field(default=64, ge=1, le=65536)
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    target_modules: Literal["all-linear"] | Annotated[tuple[ModuleName, ...], Field(min_length=1)] = Field(
        default="all-linear",
        description="all-linear, or the names of the modules that get an adapter, such as [q_proj, v_proj].",
    )

    max_length: int = Field(
        default=4096, ge=8, le=10**7, description="Longer rows are dropped, counted and said."
    )
    max_dropped_share: float = Field(
        default=0.2, ge=0, le=1, description="Training does not begin where more rows than this are too long."
    )
    epochs: float = Field(default=3.0, gt=0, le=10_000)
    max_steps: int = Field(
        default=-1, ge=-1, le=10**9, description="Overrides epochs where positive; -1 for none."
    )
    micro_batch: Annotated[int, Field(ge=1, le=65536)] | Literal["auto"] = Field(
        default=2,
        description="Rows in one forward pass on one device. auto: as the memory allows, activations kept where they fit; a step "
        "then has 2 x gradient_accumulation_steps rows.",
    )
    micro_batch_of: Literal["rows", "tokens"] = Field(
        default="rows",
        description="tokens: a forward pass holds the step's rows of like length, up to micro_batch x max_length tokens; the "
        "rows of a step stay micro_batch x gradient_accumulation_steps.",
    )
    gradient_accumulation_steps: int = Field(
        default=8, ge=1, le=65536, description="Forward passes to one optimizer step: `accum == 8`."
    )
    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: int = Field(default=10, ge=0, le=10**9)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    max_grad_norm: float = Field(
        default=0.3, ge=0, le=10**6, description="0.3 as in the QLoRA paper (arXiv:2305.14314)."
    )
    optimizer: Literal[
        "adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"
    ] = "adamw_torch"

    log_steps: int = Field(default=10, ge=1, le=10**9, description="`Every 10 steps`")
    eval_steps: int = Field(default=50, ge=1, le=10**9, description="`Every 50 steps?`")
    save_steps: int = Field(default=100, ge=1, le=10**9, description="`Every 100 steps`")
    patience: int = Field(
        default=3,
        ge=1,
        le=10**6,
        description="`patience >= 3`: evaluations without a new best before training stops.",
    )
    keep: Literal["best", "last"] = Field(default="best", description="Which weights training ends with.")
    checkpoints_kept: int = Field(default=3, ge=1, le=10_000)
    min_free_gb: float = Field(default=15.0, ge=0, le=10**6, description="`>= 15GB free`")

    packing: bool = Field(
        default=False,
        description="Several rows in one sequence, which do not see one another; cheap with flash_attention_2, by masks "
        "with others. By tokens, those of a pass; by rows, up to max_length.",
    )
    liger: bool = Field(default=False, description="Liger's fused kernels; needs a GPU and liger-kernel.")
    fsdp: bool = Field(
        default=False,
        description="FSDP + QLoRA over several GPUs; refused with its reason: each rank has the whole base.",
    )
    tiny_student: TinyStudentConfig = TinyStudentConfig()
    threads: int | None = Field(
        default=None, ge=1, le=4096, description="CPU threads; fixed, or a resume is not exact."
    )

    @model_validator(mode="after")
    def _intervals_divide(self) -> Self:
        # the drawing reaches EvalCheck from LogMetrics only, and SaveCheckpoint from EvalCheck only
        if self.eval_steps % self.log_steps:
            raise ValueError(
                f"eval_steps is {self.eval_steps} and log_steps {self.log_steps}; Diagram 5 evaluates after logging, "
                "so eval_steps must be a multiple of log_steps."
            )
        if self.save_steps % self.eval_steps:
            raise ValueError(
                f"save_steps is {self.save_steps} and eval_steps {self.eval_steps}; Diagram 5 saves a checkpoint "
                "after evaluating, so save_steps must be a multiple of eval_steps."
            )
        return self

    @model_validator(mode="after")
    def _steps_or_none(self) -> Self:
        if self.max_steps == 0:
            raise ValueError(
                "max_steps is 0, which would train nothing. Give a number of steps, or -1 to go by epochs."
            )
        return self
