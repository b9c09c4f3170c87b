"""Turns as the student reads them: its chat template, and the tokens of what that writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phases.errors import InvalidStructure


def prompt_ids(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """The tokens of a prompt as the student sees it when it is to answer: template, generation prompt and all."""
    return ids(tokenizer, rendered(tokenizer, list(messages), add_generation_prompt=True))


def require_template(tokenizer: Any) -> None:
    """Raises InvalidStructure when the tokenizer cannot put messages into the model's form."""
    if not getattr(tokenizer, "chat_template", None):
        raise InvalidStructure(
            f"The tokenizer of {tokenizer.name_or_path} has no chat template, so `messages` cannot be put into the "
            "form that the model expects. Take the instruct variant of the model, or save a tokenizer with a "
            "chat_template beside the weights."
        )


def rendered(tokenizer: Any, messages: list[Any], *, add_generation_prompt: bool) -> str:
    """The turns as the chat template writes them. Raises InvalidStructure where it refuses them."""
    from jinja2 import TemplateError

    try:
        return str(
            tokenizer.apply_chat_template(
                messages, add_generation_prompt=add_generation_prompt, tokenize=False
            )
        )
    except TemplateError as e:  # templates refuse roles and orders that the model was not trained with
        raise InvalidStructure(
            f"The chat template of {tokenizer.name_or_path} refuses a row whose turns are "
            f"{', '.join(m['role'] for m in messages)}: {e}. Leave such rows out, or give them the turns it takes."
        ) from e


def ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text as it stands, special tokens only where it spells them."""
    # `verbose`: rows longer than the context are counted and said by us; the tokenizer's own warning alarms for nothing
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
