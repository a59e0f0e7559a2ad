"""The tokens of a model and those of its data are compared before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from espnet3.errors import SettingError
from espnet3.systems.base.token_lists import check_token_lists
from espnet3.systems.base.training import train
from tests.unit.components.toy_training import toy_config

TOKENS = ["<blank>", "<unk>", "A", " ", "<sos/eos>"]


def config(model: Any, given: Any, **others: Any) -> dict[str, Any]:
    preprocessor = {"token_list": given, **others}
    return {"model": {"token_list": model}, "dataset": {"preprocessor": preprocessor}}


def write(path: Path, tokens: list[str]) -> str:
    path.write_text("\n".join(tokens) + "\n")
    return str(path)


def test_lists_and_files_of_the_same_tokens_are_equal(tmp_path: Path) -> None:
    file = write(tmp_path / "tokens.txt", TOKENS)
    stripped = ["<blank>", "<unk>", "A", "", "<sos/eos>"]  # as ${load_line:} gives it
    for model in (TOKENS, stripped, file):
        check_token_lists(config(model, file, bpemodel=str(tmp_path / "bpe.model")))


@pytest.mark.parametrize(
    "plain",
    [
        {"model": None, "dataset": None},
        {"model": {}, "dataset": {"preprocessor": {"token_list": TOKENS}}},
        config(TOKENS, None),
        config(TOKENS, "data/not_there_yet.txt"),
        config([TOKENS], [TOKENS[:-1]]),
    ],
)
def test_what_nobody_knows_is_not_compared(plain: dict[str, Any]) -> None:
    check_token_lists(plain)


def test_another_list_is_named_with_its_first_difference() -> None:
    given = [*TOKENS[:2], "B", *TOKENS[3:], "more"]
    with pytest.raises(SettingError, match=r"5 tokens here, 6 there; token 2 is 'A' here, 'B'"):
        check_token_lists(config(TOKENS, given))


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        (["B"], "has no 'B' that"),
        (["B", "C"], "has no 'B' and 1 more token that"),
        (["B", "C", "D"], "has no 'B' and 2 more tokens that"),
    ],
)
def test_another_tokenizer_is_found_by_the_tokens_beside_it(
    unknown: list[str], said: str, tmp_path: Path
) -> None:
    write(tmp_path / "tokens.txt", ["<blank>", "<unk>", *unknown])
    with pytest.raises(SettingError, match=said):
        check_token_lists(config(TOKENS, TOKENS, bpemodel=str(tmp_path / "bpe.model")))


def test_each_token_is_looked_at_once(tmp_path: Path) -> None:
    hashed = 0

    class Token(str):
        def strip(self, *_: Any) -> Token:
            return self

        def __hash__(self) -> int:
            nonlocal hashed
            hashed += 1
            return super().__hash__()

    tokens = [f"t{number}" for number in range(5000)]
    write(tmp_path / "tokens.txt", tokens)
    plain = config([Token(token) for token in tokens], None, bpemodel=str(tmp_path / "bpe.model"))
    check_token_lists(plain)
    assert hashed == len(tokens)


def test_a_refused_training_leaves_the_experiment_alone(tmp_path: Path) -> None:
    for name in ("training.yaml", "config.yaml"):
        (tmp_path / name).write_text("as it was")
    plain = toy_config(tmp_path)
    wrong = config(TOKENS, TOKENS[:-1])
    model = {**plain["model"], **wrong["model"]}
    dataset = {**plain["dataset"], **wrong["dataset"]}
    with pytest.raises(SettingError, match=r"model\.token_list"):
        train({**plain, "model": model, "dataset": dataset})
    assert (tmp_path / "training.yaml").read_text() == "as it was"
    assert (tmp_path / "config.yaml").read_text() == "as it was"
