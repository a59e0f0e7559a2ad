from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from espnet3.errors import ConfigError, UnknownKeyError
from espnet3.utils.config_sources import override_comments
from espnet3.utils.config_utils import get_sources, load_config_with_defaults, locate
from espnet3.utils.overrides import apply_overrides

TEXT = """\
exp_tag: x
my_own: 1
optimizer: {_target_: torch.optim.Adam, lr: 1}
dataset: {train: [{name: a}]}
scheduler: ${optimizer}
create_dataset: ???
tokenizer:
"""


@pytest.fixture
def config(tmp_path: Path) -> DictConfig:
    path = tmp_path / "training.yaml"
    path.write_text(TEXT)
    return load_config_with_defaults(path, resolve=False)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.optimizer.lr=1e-4", "optimizer.lr", 1e-4),
        ("training.exp_tag=a=b", "exp_tag", "a=b"),
        ("training.my_own=[1, {a: b}]", "my_own", [1, {"a": "b"}]),
        ("training.seed=", "seed", None),
        ("training.seed=null", "seed", None),
        ("training.trainer.max_epochs=3", "trainer.max_epochs", 3),
        ("training.create_dataset.archive_path=/x", "create_dataset.archive_path", "/x"),
        ("training.tokenizer.text_builder.a=1", "tokenizer.text_builder.a", 1),
        ("training.dataset.train[0].name=b", "dataset.train[0].name", "b"),
        ("training.exp_tag=${my_own}", "exp_tag", 1),
        ("training.optimizer={_target_: b}", "optimizer", {"_target_": "b", "_convert_": "all"}),
    ],
)
def test_values_are_set(config: DictConfig, text: str, key: str, value: object) -> None:
    (applied,) = apply_overrides({"training_config": config}, [text])
    assert (applied.slot, applied.key, applied.text) == ("training", key, text)
    assert OmegaConf.select(config, key) == value


def test_slots_may_be_named_with_and_without_suffix(config: DictConfig) -> None:
    apply_overrides({"training": config, "inference": None}, ["training.seed=1"])
    assert config.seed == 1


def test_later_overrides_win_and_all_are_recorded(config: DictConfig) -> None:
    apply_overrides({"training": config}, ["training.seed=1", "training.seed=2"])
    assert config.seed == 2
    assert get_sources(config).overrides == ("training.seed=1", "training.seed=2")
    text = override_comments(config)
    assert text == "# --set training.seed=1\n# --set training.seed=2\n"
    assert override_comments(OmegaConf.create({})) == override_comments({}) == ""


def test_comments_hide_secrets_and_stay_on_one_line(config: DictConfig) -> None:
    texts = ["training.model.password=hunter2", "training.my_own=[1,\n  2]"]
    apply_overrides({"training": config}, texts)
    assert override_comments(config) == (
        "# --set training.model.password=***\n# --set training.my_own=[1,\\n  2]\n"
    )


def test_locate_names_the_override(config: DictConfig) -> None:
    apply_overrides({"training": config}, ["training.optimizer={_target_: b, eps: 1}"])
    for key in ("optimizer", "optimizer.eps", "optimizer._convert_"):
        place = locate(config, key)
        assert place is not None
        assert place.file == "--set training.optimizer={_target_: b, eps: 1}"
    assert "optimizer.lr" not in get_sources(config).positions


def test_locate_names_the_override_that_made_a_section(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("system: asr\n\nui:\n  title: x\n")
    loaded = load_config_with_defaults(tmp_path / "demo.yaml")
    apply_overrides({"demo": loaded}, ["demo.ui.buton.label=x"])
    for key in ("ui.buton", "ui.buton.label"):
        place = locate(loaded, key)
        assert place is not None and place.file == "--set demo.ui.buton.label=x"
    section = locate(loaded, "ui")
    assert section is not None and (section.file, section.line) == (str(tmp_path / "demo.yaml"), 3)


def test_relative_paths_start_at_the_working_directory(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("a\nb")
    apply_overrides({"training": config}, ["training.my_own=${load_line:t.txt}"])
    assert config.my_own == ["a", "b"]


def test_overrides_count_as_users_of_keys(config: DictConfig) -> None:
    apply_overrides({"training": config}, ["training.exp_tag='${my_own}_x'"])
    assert "my_own" in get_sources(config).references


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.seed", "must look like slot.key=value"),
        ("training=1", "must look like slot.key=value"),
        ("training.a..b=1", "must look like"),
        ("trainng.seed=1", "slot 'trainng' is not loaded\n  did you mean \"training\""),
        ("xyz.seed=1", "\n  loaded slots: training"),
        ("inference.x=1", "\n  give its file with --inference_config"),
        ("training.seed={a", "while parsing a flow mapping"),
        ("training.my_own.x=1", "my_own.x: my_own is no mapping"),
        ("training.dataset.train[3].name=1", "the list has 1 items, no '3'"),
        ("training.dataset.train.x=1", "the list has 1 items, no 'x'"),
        ("training.scheduler.lr=1", r"scheduler is the interpolation \$\{optimizer\}"),
        ("training.my_own=${", "my_own = "),
    ],
)
def test_mistakes_quote_the_override(config: DictConfig, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        apply_overrides({"training_config": config, "inference_config": None}, [text])
    assert f"--set {text}" in str(caught.value)


def test_an_unknown_top_level_key_suggests_another(config: DictConfig) -> None:
    with pytest.raises(UnknownKeyError, match='optimzer.lr: .*\n  did you mean "optimizer"'):
        apply_overrides({"training": config}, ["training.optimzer.lr=1"])


def test_slots_without_schema_take_the_keys_that_they_have() -> None:
    config = OmegaConf.create({"depth": 1})
    apply_overrides({"export_config": config}, ["export.depth=2"])
    assert config.depth == 2


def test_nothing_is_applied_when_one_override_is_malformed(config: DictConfig) -> None:
    with pytest.raises(ConfigError):
        apply_overrides({"training": config}, ["training.seed=1", "nonsense"])
    assert "seed" not in config
