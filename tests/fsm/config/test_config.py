"""A configuration that is wrong is refused with the file, the key, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm.config import load
from fsm.errors import ConfigError

SOUND = "machine: teacher_generation\nteacher_generation: {teacher: {kind: offline}}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.yaml"


def refused(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as e:
        load(path)
    assert e.value.message.startswith(str(path))
    assert "\n" not in e.value.message, "one paragraph"
    return e.value.message


def test_a_sound_one_is_plugged_together(path: Path) -> None:
    path.write_text(SOUND)
    config = load(path, {"run.name": "other", "run.seed": 7})
    assert config.engine.run.name == "other"
    assert config.engine.run.seed == 7
    assert config.program.sections["teacher_generation"].teacher.kind == "offline"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("- a\n", "is a list"),
        ("machine: [\n", "this is not YAML"),
        ("machine: a\nmachine: b\n", "the key 'machine' is given twice"),
        (b"machine: \xff\n", "not UTF-8"),
        ("run: {name: x}\n", "the key 'machine' is missing"),
        ("machine: piepline\n", "did you mean 'pipeline'"),
        (SOUND + "recovery: eror_recovery\n", "did you mean 'error_recovery'"),
        (SOUND + "sed: 3\n", "unknown key 'sed'"),
        (SOUND + "teacher_genration: {}\n", "did you mean 'teacher_generation'"),
        (SOUND + "run: {sede: 3}\n", "unknown key 'run.sede'; did you mean 'seed'"),
        (SOUND + "run: {seed: many}\n", "run.seed: 'many' is a text, and this key takes a whole number"),
        (SOUND + "run: 7\n", "run"),
        ("machine: teacher_generation\nteacher_generation: {worker: 3}\n", "did you mean 'workers'"),
        (
            "machine: teacher_generation\nteacher_generation: {teacher: {kin: offline}}\n",
            "did you mean 'kind'",
        ),
        ("machine: teacher_generation\nteacher_generation: [1]\n", "must be a mapping"),
        (SOUND + "store: ${NO_SUCH_VARIABLE_HERE}\n", "NO_SUCH_VARIABLE_HERE, which is not set"),
        (SOUND + "a: " + "[" * 5000, "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_right_word(path: Path, text: str | bytes, words: str) -> None:
    assert words in refused(path, text)


def test_a_run_name_that_is_none_is_refused(path: Path) -> None:
    path.write_text(SOUND + "run: {name: ../escape}\n")
    with pytest.raises(ConfigError, match="cannot name a run"):
        load(path)


def test_a_missing_file_says_so(path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(path)


def test_variables_are_filled_in_and_secrets_stay_out_of_what_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "here")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    path.write_text(
        "machine: validation\nstore: ${WHERE}/${SUB:-deep}\npipeline: {hf_token: '${HF_TOKEN}'}\n"
    )
    config = load(path)
    assert config.engine.store == "here/deep"
    assert config.program.sections["pipeline"].hf_token.get_secret_value() == "hf_abcdefgh"
    assert "hf_abcdefgh" not in str(config.plain)
    assert config.redact("token hf_abcdefgh!") == "token **********!"
