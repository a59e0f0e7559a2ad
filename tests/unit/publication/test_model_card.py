from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espnet3.errors import ConfigError
from espnet3.publication.model_card import built_in_template, check_front_matter, render
from espnet3.publication.scores import read_intervals, read_scores, results_table
from tests.unit.publication.conftest import write


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a ${x}\nb\n", "a 1\nb\n"),
        ("a ${none}\nb\n", "b\n"),
        ("a ${empty} ${x}\nb\n", "b\n"),
        ("a ${unknown}\nb\n", "b\n"),
        ("a $unknown $x\n", "a $unknown 1\n"),
        ("a $empty|\n", "a |\n"),
        ("$$x $$ ${x}", "$x $ 1"),
        ("${nested}\n", "${x} $x\n"),
    ],
)
def test_placeholders(template, expected):
    values = {"x": 1, "none": None, "empty": "", "nested": "${x} $x"}
    assert render(template, values) == expected


@given(st.text("ab${}\n", max_size=40))
def test_values_are_never_expanded_again(value):
    assert render("${value}", {"value": value or "-", "a": "no", "b": "no"}) == (value or "-")


def test_the_results_are_sorted_and_blank_where_missing():
    scores = {
        "m.WER": {"test": {"WER": 2.51239}, "dev": {"WER": 1.0}},
        "m.CER": {"test": {"CER": 3}, "extra": {"CER": None}},
        "m.rtf": {"dev": {"a|b": "x"}},
    }
    assert results_table(scores).splitlines() == [
        "## Results",
        "",
        "| Test | CER | WER | a\\|b |",
        "| --- | --- | --- | --- |",
        "| dev |  | 1.00 | x |",
        "| extra |  |  |  |",
        "| test | 3 | 2.5124 |  |",
    ]


@pytest.mark.parametrize("text", ['{"wer": 0.1}', "not json", "[1]", ""])
def test_scores_in_an_unknown_layout_give_no_results(tmp_path, text):
    assert results_table(read_scores(write(tmp_path / "scores.json", text))) == ""


def test_a_plain_number_takes_the_name_of_its_metric(tmp_path):
    path = write(tmp_path / "scores.json", json.dumps({"pkg.WER": {"test": 1.5}}))
    assert read_scores(path) == {"pkg.WER": {"test": {"WER": 1.5}}}


def test_confidence_intervals_stand_behind_their_scores(tmp_path):
    bounds = {"level": 0.95, "low": 1.25, "high": 2.125}
    details = {
        "metrics": {
            "pkg.WER": {"test": {"confidence": bounds}, "one": {"confidence": None}},
            "pkg.Speed": {"test": {}},
        }
    }
    write(tmp_path / "metrics_details.json", json.dumps(details))
    path = tmp_path / "metrics.json"
    scores = {
        "pkg.WER": {"test": {"WER": 1.5}, "one": {"WER": 0.0}},
        "pkg.Speed": {"test": {"speed": 3}},
    }
    assert results_table(scores, read_intervals(path)).splitlines()[2:] == [
        "| Test | WER | speed |",
        "| --- | --- | --- |",
        "| one | 0.00 |  |",
        "| test | 1.50 (1.25 to 2.12) | 3 |",
    ]
    for broken in ("{", "[]", "{}", '{"metrics": {"a": 1}}'):
        write(tmp_path / "metrics_details.json", broken)
        assert read_intervals(path) == {}


def test_the_card_describes_the_bundle(recipe):
    recipe.upload_model = {"hf_repo": "ada/digits"}
    recipe.pack_model["readme_context"] = {
        "license": "cc-by-4.0",
        "lang": "en",
        "description": 'A "quoted": title',
    }
    recipe.pack_model["espnet2"] = {"task": "asr"}
    card = (recipe.pack() / "README.md").read_text()
    meta = yaml.safe_load(card.split("---\n")[1])
    assert meta["license"] == "cc-by-4.0"
    assert meta["language"] == "en"
    assert meta["pipeline_tag"] == "automatic-speech-recognition"
    results = meta["model-index"][0]["results"]
    assert {r["dataset"]["name"]: len(r["metrics"]) for r in results} == {"test": 1, "dev": 2}
    for text in (
        'from_pretrained("ada/digits")',
        "Recipe: `digits/asr`",
        "Creator: ada",
        "commit `abc123` (clean)",
        "2025-06-15T15:06:40+00:00",
        "| dev | 0.50 | 1.00 |",
        "Experiment: `exp/debug`",
        'A "quoted": title',
        "wandb_api_key: '***'",
        "No code of this bundle is run",
    ):
        assert text in card


def test_a_bundle_that_needs_trust_says_so(recipe):
    recipe.inference["output_fn"] = "src.inference.build"
    out = recipe.pack()
    card = (out / "README.md").read_text()
    assert "trust_user_code=True" in card
    assert "`src.inference.build`" in card
    assert yaml.safe_load((out / "meta.yaml").read_text())["trust"] == {
        "requires_user_code": True,
        "targets": ["src.inference.build"],
    }


def test_a_template_of_the_recipe_and_its_values(recipe):
    write(recipe.root / "src" / "card.md", "$pack_name ${mine}\n${creator}\n")
    recipe.pack_model |= {"readme_template": "src/card.md", "readme_context": {"mine": "hi"}}
    assert (recipe.pack() / "README.md").read_text() == "model_pack hi\nada\n"


def test_a_missing_template_is_an_error(recipe):
    recipe.pack_model["readme_template"] = "src/none.md"
    with pytest.raises(FileNotFoundError, match=r"readme_template: src/none\.md"):
        recipe.pack()


def test_a_template_in_another_encoding_is_an_error(recipe):
    write(recipe.root / "src" / "card.md", "für dich".encode("latin-1"))
    recipe.pack_model["readme_template"] = "src/card.md"
    with pytest.raises(ConfigError, match=r"card\.md: is not UTF-8"):
        recipe.pack()


@pytest.mark.parametrize("block", ["a: [", "- a"])
def test_front_matter_that_the_hub_could_not_read_is_refused(block):
    with pytest.raises(ConfigError, match="front matter"):
        check_front_matter(f"---\n{block}\n---\n# x\n")


def test_every_placeholder_of_the_built_in_template_gets_a_value(recipe):
    recipe.upload_model = {"hf_repo": "ada/digits"}
    recipe.pack_model["readme_context"] = {"description": "d"}
    lines = built_in_template().splitlines()
    card = (recipe.pack() / "README.md").read_text()
    for line in lines:
        start = line.partition("${")[0].strip()
        assert start in card


def test_a_repository_of_the_template_is_not_shown(recipe):
    recipe.upload_model = {"hf_repo": "your-name/your-model"}
    card = (recipe.pack() / "README.md").read_text()
    assert "your-name" not in card
    assert 'from_pretrained("model_pack"' in card
