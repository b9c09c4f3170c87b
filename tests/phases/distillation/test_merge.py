"""`fsm merge` on a micro student in nf4: the weights are the sum, the drift is that of what was saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm.cli import main
from fsm.store import open_store
from phases.distillation import merge, report, revived, stored
from tests.phases.distillation.store import CLAIM, step, write

NAME = "distillation-local"


@pytest.fixture(scope="module")
def merged(learned: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    target = tmp_path_factory.mktemp("merged") / "model"
    found = stored.find(open_store(str(learned)), "local")
    return target, merge.merge(found, target, say=lambda text: None)


def test_the_weights_are_base_plus_adapter_rounded_once(
    learned: Path, micro: Path, merged: tuple[Path, dict[str, Any]]
) -> None:
    import torch
    from safetensors.torch import load, load_file

    found = stored.find(open_store(str(learned)), NAME)
    base, made = load_file(micro / "model.safetensors"), load_file(merged[0] / "model.safetensors")
    adapter = load(found.open("distillation/model/adapter_model.safetensors").read_bytes())
    config = revived.training(found)
    changed = 0
    for name, weight in made.items():
        inside = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        exact = base[name].float()
        if f"{inside}A.weight" in adapter:
            a, b = (adapter[f"{inside}{half}.weight"] for half in "AB")
            exact = exact + config.lora_alpha / config.lora_rank * (b @ a)
            changed += 1
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, exact.to(torch.bfloat16)), name
    assert changed * 2 == len(adapter)


def test_what_was_saved_loads_by_itself_and_scores_as_was_measured(
    learned: Path, merged: tuple[Path, dict[str, Any]]
) -> None:
    from phases.student import model
    from phases.student.generate import answers

    target, said = merged
    found = stored.find(open_store(str(learned)), NAME)
    config = revived.training(found).model_copy(
        update={"model": str(target), "quantization": "none", "compute_dtype": "bfloat16"}
    )
    loaded, tokenizer = model.load(config), model.load_tokenizer(config)
    model.set_pad(tokenizer, loaded)
    recorded = found.rows("distillation/epoch-1/held_out_outputs.jsonl")
    prompts = [o["prompt"] for o in recorded]
    made = dict(answers(loaded, tokenizer, prompts, revived.sampling(found), revived.draws(found)))
    scores = revived.scores(found, [made[n] for n in range(len(prompts))])
    drift = said["drift"]
    assert drift["outputs"] == len(prompts)
    assert drift["equal"] == sum(made[n].text == o["text"] for n, o in enumerate(recorded))
    for d in report.DIMENSIONS:
        mean = sum(getattr(s, d) for s in scores) / len(scores)
        assert drift["merged"][d]["mean"] == pytest.approx(mean, abs=1e-4)
        apart = drift["merged"][d]["mean"] - drift["student"][d]["mean"]
        assert drift["difference"][d]["mean"] == pytest.approx(apart, abs=2e-4)
        assert (
            drift["difference"][d]["low"] <= drift["difference"][d]["mean"] <= drift["difference"][d]["high"]
        )


def test_the_record_beside_the_weights_says_whose_they_are(
    learned: Path, merged: tuple[Path, dict[str, Any]]
) -> None:
    target, said = merged
    assert json.loads((target / "merge.json").read_text()) == said
    found = stored.find(open_store(str(learned)), NAME)
    assert said["sha256"] == found.fold.files["distillation/model/adapter_model.safetensors"]["sha256"]
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in target.iterdir())
    text = "\n".join(merge.words(said))
    assert f"{said['drift']['merged']['overall']['mean']:.2f}" in text
    assert list(target.parent.iterdir()) == [target]


def test_the_command_refuses_a_place_that_is_taken_or_is_none(
    learned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    assert main(["merge", NAME, "--store", str(learned), "-o", str(tmp_path / "there")]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert main(["merge", NAME, "--store", str(learned), "-o", str(tmp_path / "no" / "m")]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_another_base_is_refused_and_leaves_nothing(
    learned: Path, wider: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "m"
    args = ["merge", NAME, "--store", str(learned), "-o", str(target), "--base"]
    assert main([*args, str(wider)]) == 2
    assert "not one of this model" in capsys.readouterr().err
    assert main([*args, str(tmp_path / "nowhere")]) == 2
    assert "not on this machine" in capsys.readouterr().err
    (tmp_path / "half").mkdir()
    assert main([*args, str(tmp_path / "half")]) == 2
    assert "config.json" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["half"]


def test_a_disk_that_is_too_small_is_told_before_anything_is_loaded(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from phases.student import model

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
    monkeypatch.setattr(model, "load", lambda config: pytest.fail("it was loaded"))
    assert main(["merge", NAME, "--store", str(learned), "-o", str(tmp_path / "m")]) == 2
    assert "GB free" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_finished_epoch_has_nothing_to_merge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "it", [CLAIM, step("distillation", "Setup.CreateDirs", ["Setup.LoadTrainData"])], {})
    assert main(["merge", "it", "--store", str(tmp_path), "-o", str(tmp_path / "m")]) == 2
    assert "Setup.LoadTrainData" in capsys.readouterr().err
