"""The numbers of QLoRA training; the defaults are those drawn in Diagram 5."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

GRANITE_8B = "ibm-granite/granite-4.1-8b"
GRANITE_8B_CODE = "ibm-granite/granite-8b-code-instruct-128k"


TINY = "tiny-granite"
"""As `model`: a tiny model of Granite's architecture that the run makes for itself (TinyStudentConfig)."""


class TinyStudentConfig(BaseModel):
    """The recipe of the tiny student: the shape of the model, and its base step on raw C.

    All of it goes into the cache key. Lengths are in tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(default=2, ge=1)
    width: int = Field(default=128, ge=8)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=2, ge=1)
    feed_forward: int = Field(default=384, ge=8)
    vocabulary: int = Field(default=1024, ge=260)
    context: int = Field(default=1024, ge=64)
    base_steps: int = Field(default=400, ge=0)
    base_batch: int = Field(default=16, ge=1)
    base_length: int = Field(default=128, ge=8)
    base_learning_rate: float = Field(default=4e-3, gt=0)
    seed: int = 42


class QLoRAConfig(BaseModel):
    """One QLoRA training: which model, how it is quantised and adapted, and how it is trained.

    Lengths are in tokens, disk in GB (10^9 bytes), intervals in optimizer steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str = Field(
        default=GRANITE_8B,
        description="A causal language model: an id on the Hugging Face hub, or a directory.",
    )
    revision: str | None = None
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

    lora_rank: int = Field(default=32, ge=1)
    lora_alpha: int = Field(default=64, ge=1)
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"

    max_length: int = Field(default=4096, ge=8, description="Longer rows are dropped, counted and said.")
    epochs: float = Field(default=3.0, gt=0)
    max_steps: int = Field(default=-1, description="Overrides epochs where positive.")
    micro_batch: int = Field(default=2, ge=1, description="Rows in one forward pass on one device.")
    gradient_accumulation_steps: int = Field(
        default=8, ge=1, description="Forward passes to one optimizer step: `accum == 8`."
    )
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: int = Field(default=10, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(
        default=0.3, ge=0, description="0.3 as in the QLoRA paper (arXiv:2305.14314)."
    )
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "paged_adamw_8bit", "paged_adamw_32bit"] = (
        "adamw_torch"
    )

    log_steps: int = Field(default=10, ge=1, description="`Every 10 steps`")
    eval_steps: int = Field(default=50, ge=1, description="`Every 50 steps?`")
    save_steps: int = Field(default=100, ge=1, description="`Every 100 steps`")
    patience: int = Field(
        default=3, ge=1, description="`patience >= 3`: evaluations without a new best before training stops."
    )
    keep: Literal["best", "last"] = Field(default="best", description="Which weights training ends with.")
    checkpoints_kept: int = Field(default=3, ge=1)
    min_free_gb: float = Field(default=15.0, ge=0, description="`>= 15GB free`")

    packing: bool = Field(default=False, description="Several rows in one sequence; needs flash_attention_2.")
    liger: bool = Field(default=False, description="Liger's fused kernels; needs a GPU and liger-kernel.")
    fsdp: bool = Field(
        default=False, description="FSDP + QLoRA over several GPUs; needs a launch by torchrun or accelerate."
    )
    tiny_student: TinyStudentConfig = TinyStudentConfig()
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads; fixed, or a resume is not exact."
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
    def _packing_needs_flash_attention(self) -> Self:
        if self.packing and self.attention != "flash_attention_2":
            raise ValueError(
                "packing puts several rows into one sequence, and only flash_attention_2 keeps them from seeing one "
                "another. Set attention: flash_attention_2, or packing: false."
            )
        return self
