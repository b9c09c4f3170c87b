"""A configuration's YAML is read by the core schema of YAML 1.2, and what versions and people read differently is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fsm.config import load, read_values
from fsm.config.scalars import core, former
from fsm.errors import ConfigError

HEAD = "machine: qlora_training\nqlora_training:\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.yaml"


def section(path: Path, line: str) -> Any:
    path.write_text(f"{HEAD}  {line}\n")
    return load(path).program.sections["qlora_training"]


def refused(path: Path, text: str | bytes) -> ConfigError:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as e:
        load(path)
    return e.value


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("revision: no", "revision", "no"),
        ("revision: on", "revision", "on"),
        ("revision: 2024-01-01", "revision", "2024-01-01"),
        ("revision: 1_000", "revision", "1_000"),
        ("revision: 12:30:45", "revision", "12:30:45"),
        ("revision: '0123456'", "revision", "0123456"),
        ("revision: !!str 0123456", "revision", "0123456"),
        ("revision: 1.2.3", "revision", "1.2.3"),
        ("revision: =", "revision", "="),
        ("revision: 0b11", "revision", "0b11"),
        ("revision: ~", "revision", None),
        ("learning_rate: 1e-3", "learning_rate", 0.001),
        ("learning_rate: 1", "learning_rate", 1.0),
        ("warmup_steps: 1e3", "warmup_steps", 1000),
        ("warmup_steps: 0x1F", "warmup_steps", 31),
        ("warmup_steps: 0o52", "warmup_steps", 42),
        ("warmup_steps: 08", "warmup_steps", 8),
        ("warmup_steps: 007", "warmup_steps", 7),
        ("warmup_steps: +5", "warmup_steps", 5),
        ("offline: TRUE", "offline", True),
    ],
)
def test_a_word_means_what_the_core_schema_says(path: Path, line: str, key: str, value: Any) -> None:
    found = getattr(section(path, line), key)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("revision: 0123456", "write it in quotes, '0123456'"),
        ("revision: 1234567", "write it in quotes, '1234567'"),
        ("revision: 12e4567", "write it in quotes, '12e4567'"),
        ("revision: 0x1F", "0x1F is the number 31 to YAML"),
        ("revision: 3.10", "write it in quotes, '3.10'"),
        ("revision: true", "write it in quotes, 'true'"),
        ("revision: .inf", "write it in quotes, '.inf'"),
        ("model: null", "write '' for an empty one, or leave the key out"),
        ("model:", "nothing is no value to YAML"),
        ("warmup_steps: 042", "042 is 42 to YAML 1.2 and 34 to YAML 1.1: write 42 or 34"),
        ("warmup_steps: 1_000", "write 1000"),
        ("warmup_steps: 0b101", "write 5"),
        ("warmup_steps: 1:30", "write 90"),
        ("learning_rate: 1:30.5", "write 90.5"),
        ("learning_rate: 1_000.5", "write 1000.5"),
        ("learning_rate: 2024-01-01", "to YAML 1.1 a date"),
        ("learning_rate: 2024-13-45", "is a text, and this key takes a number"),
        ("learning_rate: '1e-3'", "write 1e-3 without quotes"),
        ("learning_rate: .inf", ".inf is not finite"),
        ("learning_rate: -.INF", "-.INF is not finite"),
        ("max_grad_norm: .nan", ".nan is not finite"),
        ("learning_rate: 1e999", "1e999 is not finite"),
        ("learning_rate: inf", "'inf' is a text"),
        ("learning_rate: NaN", "'NaN' is a text"),
        ("warmup_steps: true", "true is true or false to YAML, and this key takes a whole number"),
        ("warmup_steps: " + "9" * 5000, "a number of 5000 digits"),
        ("offline: yes", "write true"),
        ("offline: Off", "write false"),
        ("offline: y", "write true"),
        ("offline: 'true'", "write true without quotes"),
        ("offline: 1", "1 is a number to YAML, and this key takes true or false"),
        ("tiny_student: {base_learning_rate: .inf}", ".inf is not finite"),
        ("target_modules: [q_proj, 7]", "target_modules.1: 7 is a number to YAML"),
        ("target_modules: 3", "target_modules: 3 is a number"),
        ("7: x", "the key 7 is not a text to YAML"),
        ("? [a]\n  : x", "a key must be a text"),
        ('revision: "\\ud83d"', "half a character"),
        ('revision: "a\\0b"', "U+0000"),
    ],
)
def test_a_word_that_lands_where_it_does_not_belong_is_refused_with_what_to_write(
    path: Path, line: str, said: str
) -> None:
    (mistake,) = refused(path, f"{HEAD}  {line}\n").mistakes
    assert said in mistake.message
    assert (mistake.file, mistake.line) == (str(path), 3)


def test_the_seed_is_not_guessed(path: Path) -> None:
    (mistake,) = refused(path, HEAD + "  revision: a\nrun: {seed: 010}\n").mistakes
    assert (mistake.line, mistake.column) == (4, 13)
    assert (
        mistake.message
        == "run.seed: 010 is 10 to YAML 1.2 and 8 to YAML 1.1: write 10 or 8, whichever is meant"
    )


def test_what_the_engine_passes_on_unread_is_finite_and_one_thing_too(path: Path) -> None:
    text = HEAD + "  revision: a\nstore_options: {a: .nan, b: 010, c: [{d: .inf}], e: no}\n"
    assert [f.message.partition(":")[0] for f in refused(path, text).mistakes] == [
        "store_options.a", "store_options.b", "store_options.c.0.d",
    ]  # fmt: skip


def test_a_secret_that_is_misread_is_not_shown(path: Path) -> None:
    error = refused(path, "machine: validation\npipeline: {hf_token: 123456789}\n")
    assert "write it in quotes" in str(error)
    assert "123456789" not in str(error)


def test_a_byte_order_mark_and_other_line_ends_are_nothing(path: Path) -> None:
    text = HEAD + "  revision: a\n"
    for content in (
        text.encode("utf-8-sig"),
        text.replace("\n", "\r\n").encode(),
        text.replace("\n", "\r").encode(),
    ):
        path.write_bytes(content)
        config = load(path)
        assert config.program.sections["qlora_training"].revision == "a"
        assert not config.text.startswith("\ufeff")


def test_anchors_and_merge_keys_are_read(path: Path) -> None:
    path.write_text(
        "machine: distillation\n"
        "distillation: {sampling: &cool {temperature: 0.2, max_new_tokens: 64}, eval_prompts: &few 3}\n"
        "convergence: {epochs_at_threshold: *few, low_correction_epochs: *few}\n"
    )
    assert load(path).program.sections["convergence"].low_correction_epochs == 3
    merged = read_values("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\n", "f")
    assert merged["c"] == {"x": 3, "y": 1, "z": 2}


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGING = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("machine: [\n", 2, "this is not YAML"),
        ("a: 1\n\tb: 2\n", 2, "a tab stands where only blanks may"),
        ("a: b: c\n", 1, "this is not YAML"),
        ("a: {b: ${C}}\n", 1, "write '${...}' in quotes there"),
        ("a: 1\n---\nb: 2\n", 2, "several"),
        ("a: *nobody\n", 1, "undefined alias"),
        ("run: &r {name: a, run: *r}\n", 1, "never ends"),
        ("machine: x\nrun: {a: 1, a: 2}\n", 2, "the key 'a' is given twice"),
        ("a: 1\n'a': 2\n", 2, "the key 'a' is given twice (before in line 1)"),
        ("run: &r {name: a, <<: *r}\n", 1, "`<<` names the mapping that it stands in"),
        ("<<: 3\n", 1, "`<<` takes a mapping"),
        ("a: !!python/object/apply:os.system [true]\n", 1, "the tag !!python/object/apply:os.system"),
        ("a: !Ref b\n", 1, "the tag !Ref"),
        ("a: !!set {b, c}\n", 1, "the tag !!set"),
        ("a: !!int x\n", 1, "is not what its tag !!int says"),
        ("a: \x07\n", 1, "U+0007"),
        ("a: 1\nb: x\u2028y\n", 2, "U+2028"),
        ("a: \ud7ff\x85\n", 1, "U+0085"),
        ("a: " + "[" * 5000, 1, "nested more than 100 deep"),
        ("a: " + "{b: " * 5000, 1, "nested more than 100 deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(300)), 100, "nested more than 100 deep"),
        (BOMB, 1, "the aliases make more than"),
        (MERGING, 0, "the aliases make more than"),
        ("# nothing\n", 1, "is empty"),
        ("~\n", 1, "is empty"),
        ("- a\n", 1, "is a list"),
        ("machine\n", 1, "is a single value"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        ("a: 1\n".encode("utf-16"), 1, "UTF-16"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_configuration_is_refused_by_its_line(
    path: Path, text: str | bytes, line: int, said: str
) -> None:
    error = refused(path, text)
    assert any(said in f.message and line in (f.line, 0) for f in error.mistakes), error.mistakes


def test_a_file_beyond_all_use_and_what_is_no_file(path: Path, tmp_path: Path) -> None:
    assert "longer than" in str(refused(path, b"a: " + b"x" * 2**20))
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


WORDS = st.text(alphabet="0123456789abcdefxonyesNIF_.:+-~ET", min_size=1, max_size=12)


@given(WORDS | st.integers().map(str) | st.floats().map(str))
@example("1_0")
@example("0o17")
@example("-.inf")
def test_the_versions_differ_in_kind_or_are_equal_but_for_octal_numbers(word: str) -> None:
    """Where both read a number, it is the same one, unless YAML 1.1 reads it in another base: what `misfit` relies on."""
    now, then = core(word), former(word)
    both = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (now, then))
    if both and now != then and not (math.isnan(now) and math.isnan(then)):
        assert word.lstrip("+-").startswith("0")
    if isinstance(then, bool) and not isinstance(now, bool):
        assert now == word
    assert now is None or isinstance(now, str | int | float)


@given(
    st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t<~01_.\\u\x85\u2028\ufeff\0é"), max_size=40)
    | st.binary(max_size=40)
)
@example("a: &a [*a]")
@example("? ?")
@example("<<: {<<: 1}")
@example("!!int : 1")
def test_any_text_is_values_or_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as e:  # none has a machine that there is
        load(path)
    assert e.value.message.startswith(str(path))
    assert all(f.line >= 1 and f.column >= 1 for f in e.value.mistakes)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.text(alphabet="abcxyz_", min_size=1),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text("kq", min_size=1), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        min_size=1,
    )
)
def test_what_a_writer_wrote_is_read(values: dict[str, Any]) -> None:
    class Writer(yaml.SafeDumper):
        """Quotes every text, as its readers' versions differ in what else it is."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    Writer.add_representer(str, lambda w, t: w.represent_scalar("tag:yaml.org,2002:str", t, style='"'))
    assert read_values(yaml.dump(values, Dumper=Writer), "f") == values
