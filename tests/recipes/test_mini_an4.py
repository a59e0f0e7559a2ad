"""The recipe on eight real utterances, without ESPnet2."""

from __future__ import annotations

from pathlib import Path

from espnet3.publication import InferenceSession
from tests.recipes.shipped import copy_recipe, run_recipe

STAGES = [
    *("create_dataset", "train_tokenizer", "collect_stats"),
    *("train", "infer", "measure", "pack_model"),
]


def test_all_stages_in_one_command(tmp_path: Path, shared_data: Path) -> None:
    folder = copy_recipe("mini_an4/asr", tmp_path)
    slots = ("training", "inference", "metrics", "publication")
    result = run_recipe(
        folder,
        *(f"--{slot}_config=conf/{slot}.yaml" for slot in slots),
        f"--set=training.create_dataset.archive_path={shared_data / 'mini_an4.tar.gz'}",
        "--set=training.trainer.max_steps=11",
        *("--stages", *STAGES),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    experiment = folder / "exp" / "training"
    lines = (experiment / "inference" / "test" / "ref.scp").read_text().splitlines()
    assert lines == [
        "fcaw-cen8-b ELEVEN TWENTY SEVEN FIFTY SEVEN",
        "mmxg-cen8-b OCTOBER TWENTY FOUR NINETEEN SEVENTY",
    ]
    session = InferenceSession.from_pretrained(str(experiment / "model_pack"))
    wav = folder / "data" / "wav" / "test" / "fcaw-cen8-b.wav"
    assert set(session(str(wav))) == {"utt_id", "hyp"}
