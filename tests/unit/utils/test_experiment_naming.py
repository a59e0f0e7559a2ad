from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError

from espnet3.utils.config_utils import load_and_merge_config
from espnet3.utils.experiment_naming import (
    apply_training_experiment_context,
    has_identity,
    known_value,
    resolve_loaded_configs,
    validate_experiment_context,
)

log = logging.getLogger("naming-test")


def slot(**changes: Any) -> DictConfig:
    base = {"recipe_dir": ".", "exp_tag": None, "exp_dir": "${recipe_dir}/exp/${exp_tag}"}
    return OmegaConf.create({**base, **changes})


def training(tag: str | None = "big") -> DictConfig:
    return slot(exp_tag=tag)


def inference(**changes: Any) -> DictConfig:
    return slot(**{"inference_dir": "${exp_dir}/inference", **changes})


def apply(**configs: DictConfig | None) -> None:
    apply_training_experiment_context(
        training_config=configs.get("training"),
        inference_config=configs.get("inference"),
        metrics_config=configs.get("metrics"),
        publication_config=configs.get("publication"),
        demo_config=configs.get("demo"),
        log=log,
    )


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="naming-test")
    return caplog


def messages(records: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in records.records]


def test_a_plain_target_gets_its_tag_with_one_line(records: pytest.LogCaptureFixture) -> None:
    target = inference()
    apply(training=training(), inference=target)
    assert messages(records) == [("INFO", "Inserted inference_config.exp_tag from training_config")]
    assert target.exp_dir == "./exp/big"
    assert target.inference_dir == "./exp/big/inference"


def test_all_followers_of_training_get_the_name() -> None:
    followers = {name: slot() for name in ("inference", "metrics", "publication", "demo")}
    apply(training=training(), **followers)
    assert {config.exp_dir for config in followers.values()} == {"./exp/big"}


def test_another_value_is_replaced_with_a_warning(records: pytest.LogCaptureFixture) -> None:
    target = inference(exp_tag="beam5")
    apply(training=training(), inference=target)
    assert messages(records) == [
        (
            "WARNING",
            "Overriding inference_config.exp_tag with training_config value: 'beam5' -> 'big'",
        )
    ]
    assert target.inference_dir == "./exp/big/inference"


def test_an_absent_key_is_inserted(records: pytest.LogCaptureFixture) -> None:
    target = OmegaConf.create({"metrics": []})
    apply(training=training(), metrics=target)
    assert (target.exp_tag, target.exp_dir) == ("big", "./exp/big")
    assert [level for level, _ in messages(records)] == ["INFO", "INFO"]


def test_without_training_nothing_happens_to_inference(records: pytest.LogCaptureFixture) -> None:
    target = inference(exp_tag="beam5")
    apply(inference=target)
    assert messages(records) == []
    assert target.inference_dir == "./exp/beam5/inference"


@pytest.mark.parametrize("tag", [None, "", "  "])
def test_a_source_without_name_gives_nothing(
    records: pytest.LogCaptureFixture, tag: str | None
) -> None:
    target = slot(exp_tag="own", exp_dir="somewhere")
    apply(training=training(tag) if tag is None else slot(exp_tag=tag, exp_dir=tag), metrics=target)
    assert messages(records) == []
    assert target.exp_dir == "somewhere"


def test_metrics_follows_inference() -> None:
    target = slot(inference_dir="${exp_dir}/inference")
    apply(inference=inference(exp_tag="t", inference_dir="/custom/out"), metrics=target)
    assert (target.exp_tag, target.inference_dir) == ("t", "/custom/out")


def test_metrics_follows_a_custom_inference_dir_with_a_warning(
    records: pytest.LogCaptureFixture,
) -> None:
    target = slot(exp_tag="t", inference_dir="other")
    apply(inference=inference(exp_tag="t", inference_dir="/custom"), metrics=target)
    assert messages(records) == [
        (
            "WARNING",
            "Overriding metrics_config.inference_dir with inference_config value: "
            "'other' -> '/custom'",
        )
    ]


def test_a_default_of_the_template_is_replaced_without_a_warning(
    records: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    path = tmp_path / "metrics.yaml"
    path.write_text("exp_tag: t\n")
    target = load_and_merge_config(path, "metrics.yaml", "egs3.TEMPLATE.asr", resolve=False)
    assert target is not None and target.inference_dir
    apply(inference=inference(exp_tag="t", inference_dir="/custom"), metrics=target)
    assert target.inference_dir == "/custom"
    assert [text for level, text in messages(records) if level == "WARNING"] == []
    path.write_text("exp_tag: t\ninference_dir: mine\n")
    target = load_and_merge_config(path, "metrics.yaml", "egs3.TEMPLATE.asr", resolve=False)
    apply(inference=inference(exp_tag="t", inference_dir="/custom"), metrics=target)
    assert [text for level, text in messages(records) if level == "WARNING"]


def test_publication_takes_the_inference_dir_but_not_the_name_of_inference() -> None:
    target = slot(inference_dir=None)
    apply(inference=inference(exp_tag="t"), publication=target)
    assert target.exp_tag is None
    assert target.inference_dir == "./exp/t/inference"


def test_an_unnamed_inference_dir_is_not_passed_on() -> None:
    target = slot(exp_dir="exp/mine", inference_dir="exp/mine/out")
    apply(inference=inference(), metrics=target)
    assert target.inference_dir == "exp/mine/out"


def test_two_spellings_of_one_path_are_equal(records: pytest.LogCaptureFixture) -> None:
    apply(training=training(), metrics=slot(exp_tag="big", exp_dir="exp/big"))
    assert messages(records) == []


def test_broken_sources_and_targets_do_not_raise() -> None:
    broken = OmegaConf.create({"exp_tag": "${nowhere}", "exp_dir": "???"})
    apply(training=broken, inference=slot())
    target = OmegaConf.create({"exp_tag": "${nowhere}", "exp_dir": "${also.nowhere}"})
    apply(training=training(), inference=target)
    assert (target.exp_tag, target.exp_dir) == ("big", "./exp/big")


def test_resolution_skips_none_and_raises_for_unknown_keys() -> None:
    config = OmegaConf.create({"a": 1, "b": "${a}"})
    resolve_loaded_configs(None, config)
    assert OmegaConf.to_container(config, resolve=False) == {"a": 1, "b": 1}
    with pytest.raises(InterpolationKeyError, match="nowhere"):
        resolve_loaded_configs(OmegaConf.create({"a": "${nowhere}"}))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (slot(exp_tag="x"), True),
        (slot(), False),
        (slot(exp_tag=" "), True),
        (slot(exp_tag="None"), False),
        (slot(exp_dir="./exp/Nonesuch"), True),
        (slot(exp_dir="./exp/None/metrics"), False),
        (slot(exp_dir=""), False),
        (slot(exp_dir="${base}exp", base=None), False),
        (slot(exp_dir="${base}/exp", base="${deeper}", deeper=None), False),
        (slot(exp_dir="${absent}/exp"), False),
        (OmegaConf.create({}), False),
    ],
)
def test_identity(config: DictConfig, expected: bool) -> None:
    assert has_identity(config) is expected


def test_known_value_of_other_types() -> None:
    assert known_value(OmegaConf.create({"exp_tag": 5}), "exp_tag") == 5


def validate(stages: list[str], **configs: DictConfig | None) -> None:
    validate_experiment_context(
        training_config=configs.get("training"),
        inference_config=configs.get("inference"),
        metrics_config=configs.get("metrics"),
        stages_to_run=stages,
    )


@pytest.mark.parametrize(
    ("stage", "name", "slot_name"),
    [("infer", "inference", "inference_config"), ("measure", "metrics", "metrics_config")],
)
def test_a_requested_stage_needs_a_name(stage: str, name: str, slot_name: str) -> None:
    with pytest.raises(ValueError, match=f"^{stage} stage requires --training_config") as caught:
        validate([stage], **{name: slot()})
    assert slot_name in str(caught.value)
    assert "exp_tag/exp_dir" in str(caught.value)
    validate([stage], **{name: slot()}, training=training())
    validate([stage], **{name: slot(exp_tag="x")})
    validate(["train"], **{name: slot()})
    validate([stage])


def test_measure_accepts_a_concrete_inference_dir_alone() -> None:
    validate(["measure"], metrics=slot(inference_dir="exp/x/out"))
    with pytest.raises(ValueError, match="measure stage"):
        validate(["measure"], metrics=slot(inference_dir="${exp_dir}/out"))
    with pytest.raises(ValueError, match="infer stage"):
        validate(["infer"], inference=inference(inference_dir="exp/x/out"))


def test_metrics_named_by_inference_is_valid() -> None:
    metrics = slot(inference_dir="${exp_dir}/inference")
    apply(inference=inference(exp_tag="t"), metrics=metrics)
    validate(["measure"], metrics=metrics)
