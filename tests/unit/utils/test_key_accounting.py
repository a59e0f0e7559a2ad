from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from espnet3.errors import ConfigError, UnknownKeyError
from espnet3.utils.config_utils import load_config_with_defaults, resolve_config
from espnet3.utils.key_accounting import Finding, check_config, check_configs, report_findings

Load = Callable[..., DictConfig]

SOUND = """\
exp_tag: 5
exp_dir: exp/${exp_tag}
strict: true
my_size: 3
num_device: ${my_size}
model: {_target_: pathlib.Path, any: {key: 1}}
optimizer: null
scheduler_interval: epoch
tokenizer: {vocab_size: '???', text_builder: {func: os.path.join, whatever: 1}}
parallel: {env: local, options: {cores: 2}}
best_model_criterion: [[valid/loss, 3, min]]
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str, name: str = "training.yaml") -> DictConfig:
        path = tmp_path / name
        path.write_text(text)
        return load_config_with_defaults(path, resolve=False)

    return load_text


def texts(findings: list[Finding]) -> list[str]:
    return [str(finding.error) for finding in findings]


@pytest.mark.parametrize("slot", ["training", "training_config"])
def test_a_sound_config_has_no_findings_before_and_after_resolution(load: Load, slot: str) -> None:
    config = load(SOUND)
    before = repr(config)
    assert check_config(config, slot) == []
    assert repr(config) == before
    resolve_config(config)
    assert check_config(config, slot) == []


def test_unknown_keys_of_sections_are_fatal_with_line_and_suggestion(load: Load) -> None:
    config = load("tokenizer:\n  vocab_sise: 3\nparallel:\n  zzz: 1\n")
    findings = check_config(config, "training")
    assert all(finding.is_fatal for finding in findings)
    assert all(isinstance(finding.error, UnknownKeyError) for finding in findings)
    first, second = texts(findings)
    assert "training.yaml:2: tokenizer.vocab_sise: is not a key that anything reads" in first
    assert 'did you mean "vocab_size"' in first
    assert "training.yaml:4: parallel.zzz" in second
    assert "valid keys: env, n_workers, options" in second


def test_options_of_workers_are_checked_before_a_stage_begins(load: Load) -> None:
    config = load(
        "parallel:\n  env: slurm\n  options:\n    cores: 1\n    memory: 1GB\n    walltim: 1\n"
    )
    (text,) = texts(check_config(config, "training"))
    assert "training.yaml:6: parallel.options.walltim: is not an option" in text
    assert 'did you mean "walltime"?' in text


def test_sections_in_lists_are_checked(load: Load) -> None:
    config = load(
        "metrics:\n  - metric: {_target_: pathlib.Path}\n    inptus: [a]\n  - inputs: 5\n",
        "metrics.yaml",
    )
    first, second = texts(check_config(config, "metrics"))
    assert "metrics.yaml:3: metrics[0].inptus" in first
    assert "metrics.yaml:4: metrics[1].inputs = 5" in second


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_device: two", "num_device = 'two': expected int, got str"),
        ("scheduler_interval: steps", "must be one of step, epoch"),
        ("tokenizer: {vocab_size: x}", "tokenizer.vocab_size = 'x': expected int"),
        ("tokenizer: [1]", "tokenizer = [1]: must be a mapping"),
        ("model: 3", "model = 3: must be a mapping"),
        ("strict: maybe", "strict = 'maybe': expected bool"),
        ("tokenizer: {user_defined_symbols: [a, 1]}", "user_defined_symbols[1] = 1: expected str"),
    ],
)
def test_wrong_types_are_fatal(load: Load, text: str, message: str) -> None:
    findings = check_config(load(text), "training", strict=False)
    assert len(findings) == 1
    assert findings[0].is_fatal
    assert message in texts(findings)[0]
    assert "training.yaml:1" in texts(findings)[0]


@pytest.mark.parametrize(
    ("text", "strict", "is_fatal"),
    [
        ("optimzer: {}", None, False),
        ("optimzer: {}\nstrict: true", None, True),
        ("optimzer: {}\nstrict: true", False, False),
        ("optimzer: {}", True, True),
    ],
)
def test_an_unknown_top_level_key_is_a_warning_unless_strict(
    load: Load, text: str, strict: bool | None, is_fatal: bool
) -> None:
    (finding,) = check_config(load(text), "training", strict=strict)
    assert finding.is_fatal is is_fatal
    assert 'did you mean "optimizer"' in str(finding.error)


@pytest.mark.parametrize(
    "user",
    [
        "model: {a: '${mine}'}",
        "model: {a: '${mine.b[0]}'}",
        "model: {a: [1, 'x ${mine} y']}",
        "model: {a: '${..mine}'}",
        "model: {a: '${oc.select:mine,1}'}",
        "model: {a: '${mine.${exp_tag}}'}",
    ],
)
def test_a_key_that_an_interpolation_uses_is_known(load: Load, user: str) -> None:
    config = load(f"exp_tag: b\nmine: {{b: [1]}}\n{user}")
    assert check_config(config, "training") == []
    resolve_config(config)
    assert check_config(config, "training") == []


def test_a_key_that_another_slot_reads_is_known(load: Load) -> None:
    training = load("mine: 1\n")
    inference = load("model: {a: '${load_yaml:training.yaml,mine}'}\n", "inference.yaml")
    assert check_configs({"training_config": training, "inference_config": inference}) == []
    assert len(check_configs({"training_config": training, "inference_config": None})) == 1


def test_import_paths_are_checked_everywhere(load: Load) -> None:
    training = load(
        "model:\n  _target_: pathlib.Pathh\n  list:\n    - {_target_: nowhere_at_all.X}\n"
        "  open: {_target_: '${model._target_}'}\n"
        "trainer_class: json.dupms\n"
        "tokenizer:\n  model_type: bpe\n  vocab_size: 9\n  save_path: t\n"
        "  text_builder: {func: json.loadss}\n"
    )
    found = texts(check_config(training, "training"))
    assert len(found) == 4
    assert "training.yaml:2: model._target_ = 'pathlib.Pathh'" in found[0]
    assert "training.yaml:4: model.list[0]._target_" in found[1]
    assert "trainer_class = 'json.dupms'" in found[2]
    assert "tokenizer.text_builder.func" in found[3]
    (finding,) = check_config(load("output_fn: json.dupms", "inference.yaml"), "inference")
    assert 'did you mean "dumps"' in str(finding.error)


def test_arguments_of_targets_are_checked_with_line_and_suggestion(load: Load) -> None:
    config = load(
        "optimizer:\n  _target_: torch.optim.AdamW\n  lrr: 1\n  eps: tiny\n  _partial_: true\n"
        "model:\n  _target_: json.dumps\n  anything: 1\n  obj: 2\n"
        "criterion: {callback: {_target_: '${model._target_}', x: 1}}\n"
    )
    first, second = check_config(config, "training")
    assert isinstance(first.error, UnknownKeyError)
    assert "training.yaml:3: optimizer.lrr: is not an argument of torch.optim" in str(first.error)
    assert 'did you mean "lr"' in str(first.error)
    assert "training.yaml:4: optimizer.eps = 'tiny': expected float" in str(second.error)


def test_slots_of_recipes_are_only_checked_for_import_paths(load: Load) -> None:
    config = load("anything: 1\nm: {_target_: json.dupms}")
    (finding,) = check_config(config, "export_config")
    assert "json was found, but it has no attribute 'dupms'" in str(finding.error)


def test_one_fatal_finding_is_raised_as_it_is(load: Load) -> None:
    findings = check_config(load("tokenizer: {zzz: 1}"), "training")
    with pytest.raises(UnknownKeyError) as caught:
        report_findings(findings)
    assert caught.value is findings[0].error


def test_several_fatal_findings_are_raised_together(load: Load) -> None:
    findings = check_config(load("tokenizer: {zzz: 1, yyy: 2}"), "training")
    with pytest.raises(UnknownKeyError, match=r"(?s)has 2 mistakes:.*zzz.*yyy"):
        report_findings(findings)
    findings = check_config(load("tokenizer: {zzz: 1}\nseed: x"), "training")
    with pytest.raises(ConfigError, match=r"(?s)2 mistakes") as caught:
        report_findings(findings)
    assert not isinstance(caught.value, UnknownKeyError)


def test_warnings_are_logged(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        report_findings(check_config(load("zzz: 1"), "training"))
    assert "training.yaml:1: zzz" in caplog.text
