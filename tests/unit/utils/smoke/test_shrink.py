from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.errors import MissingConfigError, UnknownKeyError
from espnet3.utils.config_sources import get_sources
from espnet3.utils.overrides import Override, apply_overrides
from espnet3.utils.smoke.refinement import Refinement
from espnet3.utils.smoke.shrink import shrink_configs
from espnet3.utils.stage_table import SLOT_FILES

FOLDERS = {
    "recipe_dir": ".",
    "exp_tag": "base",
    "exp_dir": "${recipe_dir}/exp/${exp_tag}",
    "data_dir": "${recipe_dir}/data",
}


def training(**changes):
    return {
        **FOLDERS,
        **dict.fromkeys(["num_device", "num_nodes", "parallel", "trainer"]),
        "stats_dir": "${recipe_dir}/exp/stats",
        "create_dataset": {"data_dir": "${data_dir}", "sizes": {"train": 100}},
        "tokenizer": {"save_path": "${data_dir}/tokenizer", "model_type": "char", "vocab_size": 9},
        "model": {"_target_": "src.model.M", "tokens": "data/tokenizer/tokens.txt"},
        **changes,
    }


@pytest.fixture
def shrink(tmp_path, monkeypatch):
    """Shrink the slots given as plain containers; return them as resolved plain containers."""
    monkeypatch.chdir(tmp_path)

    def shrink(*, refinement=None, given=(), naming_source="training_config", **slots):
        named = {f"{slot}_config": OmegaConf.create(config) for slot, config in slots.items()}
        configs = {**dict.fromkeys(SLOT_FILES), **named}
        extra = {slot: "training.yaml" for slot in named if slot.startswith("training_")}
        apply_overrides(configs, given)
        shrink.changes = shrink_configs(
            configs,
            {**SLOT_FILES, **extra},
            refinement or Refinement(),
            naming_source=naming_source,
            recipe_dir=tmp_path,
        )
        shrink.configs = configs
        return {
            slot: OmegaConf.to_container(configs[f"{slot}_config"], resolve=True) for slot in slots
        }

    return shrink


def all_texts(node):
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        return [text for child in node for text in all_texts(child)]
    return [node] if isinstance(node, str) else []


def test_all_that_is_written_goes_beside_the_experiment(shrink):
    found = shrink(
        training=training(),
        inference={**FOLDERS, "inference_dir": "${exp_dir}/inference"},
        publication={**FOLDERS, "pack_model": {"out_dir": "bundle"}},
        refinement=Refinement(makes_data=True),
    )
    config = found["training"]
    assert config["exp_dir"] == "./exp/smoke_base"
    assert config["stats_dir"] == "exp/smoke_base_stats"
    assert config["data_dir"] == config["create_dataset"]["data_dir"] == "exp/smoke_base_data"
    assert config["tokenizer"]["save_path"] == "exp/smoke_base_data/tokenizer"
    assert config["model"]["tokens"] == "exp/smoke_base_data/tokenizer/tokens.txt"
    assert found["inference"]["data_dir"] == "exp/smoke_base_data"
    assert found["inference"]["inference_dir"] == "./exp/smoke_base/inference"
    assert found["publication"]["pack_model"]["out_dir"] == "./exp/smoke_base/model_pack"
    assert not [t for t in all_texts(found) if t.startswith(("./data", "data", "./exp/base"))]


def test_data_that_are_not_made_anew_are_read_where_they_are(shrink):
    found = shrink(training=training(), inference={**FOLDERS})
    config = found["training"]
    assert config["data_dir"] == found["inference"]["data_dir"] == "./data"
    assert config["tokenizer"]["save_path"] == "exp/smoke_base_tokenizer"
    assert config["tokenizer"]["train_file"] == "./exp/smoke_base_tokenizer/train.txt"
    assert config["model"]["tokens"] == "exp/smoke_base_tokenizer/tokens.txt"


def test_paths_that_follow_the_experiment_s_name_are_kept_or_moved_with_the_others(shrink):
    folders = {**FOLDERS, "data_dir": "${recipe_dir}/data/${exp_tag}"}
    found = shrink(training=training(**folders), inference=folders)
    assert found["training"]["data_dir"] == found["inference"]["data_dir"] == "data/base"
    makes = Refinement(makes_data=True)
    found = shrink(training=training(**folders), inference=folders, refinement=makes)
    assert found["training"]["data_dir"] == "exp/smoke_base_data"
    assert found["inference"]["data_dir"] == "exp/smoke_base_data"


def test_a_folder_that_ignores_the_name_is_renamed_itself(shrink):
    config = shrink(training=training(exp_dir="exp/fixed"))["training"]
    assert config["exp_dir"] == "exp/smoke_fixed"


def test_phases_share_their_data_and_follow_each_other(shrink):
    easy = training(exp_tag="easy")
    full = training(exp_tag="full", init_from={"path": "exp/easy/last.ckpt"})
    found = shrink(
        training_easy=easy,
        training_full=full,
        naming_source="training_full_config",
        refinement=Refinement(makes_data=True),
    )
    assert found["training_easy"]["exp_dir"] == "./exp/smoke_easy"
    assert found["training_full"]["init_from"]["path"] == "exp/smoke_easy/last.ckpt"
    for key, name in (("data_dir", "data"), ("stats_dir", "stats")):
        assert {found[slot][key] for slot in found} == {f"exp/smoke_full_{name}"}


def test_weights_of_another_experiment_are_not_loaded_into_a_smaller_model(shrink):
    config = training(init_from={"path": "/models/large.pth"})
    assert shrink(training=config)["training"]["init_from"] is None


def test_what_set_has_set_stays_but_the_folders(shrink):
    found = shrink(
        training=training(trainer={"max_steps": 1000}),
        given=["training.trainer.max_steps=50", "training.exp_tag=mine"],
    )
    assert found["training"]["trainer"]["max_steps"] == 50
    assert found["training"]["exp_dir"] == "./exp/smoke_mine"


def test_devices_that_set_has_set_reach_the_trainer(shrink):
    links = {"devices": "${num_device}", "num_nodes": 2}
    config = shrink(training=training(trainer=links))["training"]
    assert (config["num_device"], config["trainer"]["devices"]) == (1, 1)
    assert config["trainer"]["num_nodes"] == config["num_nodes"] == 1
    assert "training.trainer.devices=${num_device}" not in [c.text for c in shrink.changes]
    config = shrink(training=training(trainer=links), given=["training.num_device=2"])["training"]
    assert (config["num_device"], config["trainer"]["devices"]) == (2, 2)


def test_the_recipe_s_own_rules_win_and_everything_is_recorded(shrink):
    own = Override("training", "trainer.max_steps", 3, "training.trainer.max_steps=3")
    found = shrink(training=training(), refinement=Refinement(overrides=(own,)))
    assert found["training"]["trainer"]["max_steps"] == 3
    recorded = get_sources(shrink.configs["training_config"]).overrides
    assert recorded[-1] == "training.trainer.max_steps=3"
    assert "training.exp_tag=smoke_base" in recorded
    assert [change.text for change in shrink.changes if change.slot == "training"] == [*recorded]


def test_what_is_recorded_gives_the_same_configuration_when_it_is_typed(shrink):
    found = shrink(training=training(trainer={"precision": "16-mixed"}))
    again = {"training_config": OmegaConf.create(training(trainer={"precision": "16-mixed"}))}
    apply_overrides(again, [change.text for change in shrink.changes])
    assert OmegaConf.to_container(again["training_config"], resolve=True) == found["training"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (Override("traning", "seed", 1, ""), "training"),
        (Override("training", "sead", 1, ""), "sead"),
    ],
)
def test_an_unknown_slot_or_key_is_an_error(shrink, override, expected):
    with pytest.raises(UnknownKeyError, match=expected):
        shrink(training=training(), refinement=Refinement(overrides=(override,)))


def test_without_the_configuration_that_names_the_folders_nothing_runs(shrink):
    with pytest.raises(MissingConfigError, match="--training_config"):
        shrink(inference=FOLDERS)
    with pytest.raises(MissingConfigError, match=r"training_config\.exp_dir"):
        shrink(training={"exp_tag": "a", "exp_dir": None})
