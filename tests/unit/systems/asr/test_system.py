from __future__ import annotations

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from espnet3.systems.asr import system as asr_module
from espnet3.systems.asr.system import ASRSystem
from espnet3.systems.base import system as base_module


@pytest.fixture
def trainer(monkeypatch):
    """Replace the SentencePiece training by one that records and leaves the three files."""
    calls = []

    def train(text_path, save_path, vocab_size, model_type, **options):
        save_path.mkdir(parents=True, exist_ok=True)
        for name in (f"{model_type}.model", f"{model_type}.vocab", "tokens.txt"):
            (save_path / name).write_text("x")
        calls.append((text_path.read_text(), vocab_size, model_type, options))

    monkeypatch.setattr(asr_module, "train_sentencepiece", train)
    return calls


@pytest.fixture
def texts(monkeypatch):
    """Let the text builder `my.texts` return what the test puts in."""
    box = SimpleNamespace(result=["one two", "three"], received=None, calls=0)

    def build(**kwargs):
        box.received = kwargs
        box.calls += 1
        return box.result

    monkeypatch.setattr(asr_module, "import_module", lambda name: SimpleNamespace(texts=build))
    return box


@pytest.fixture
def make_system(tmp_path):
    def make(tokenizer=None, **training):
        section = {
            "save_path": str(tmp_path / "tokenizer"),
            "model_type": "bpe",
            "vocab_size": 30,
            "text_builder": {"func": "my.texts", "path": "a.tsv", "splits": ["train"]},
            **(tokenizer or {}),
        }
        config = {
            "exp_dir": str(tmp_path / "exp"),
            "data_dir": str(tmp_path / "data"),
            "dataset": {"train": [{}]},
            "tokenizer": section,
            **training,
        }
        return ASRSystem(training_config=OmegaConf.create(config))

    return make


def test_the_tokenizer_is_trained_on_the_gathered_text(make_system, trainer, texts, tmp_path):
    make_system().train_tokenizer()
    assert trainer == [("one two\nthree\n", 30, "bpe", {})]
    assert texts.received == {"path": "a.tsv", "splits": ["train"]}
    assert (tmp_path / "data" / "train_tokenizer" / "train.txt").is_file()


def test_options_are_forwarded_when_they_are_set(make_system, trainer, texts):
    make_system({"character_coverage": 0.99, "user_defined_symbols": ["<x>"]}).train_tokenizer()
    options = trainer[0][3]
    assert options["character_coverage"] == 0.99
    assert list(options["user_defined_symbols"]) == ["<x>"]


def test_without_data_dir_the_text_goes_to_the_tokenizer_folder(
    make_system, trainer, texts, tmp_path
):
    make_system(data_dir=None).train_tokenizer()
    assert (tmp_path / "tokenizer" / "train.txt").is_file()


def test_a_trained_tokenizer_is_left_alone(make_system, trainer, texts, caplog):
    caplog.set_level("INFO")
    make_system().train_tokenizer()
    make_system().train_tokenizer()
    assert len(trainer) == 1
    assert texts.calls == 1
    assert "Tokenizer already exists. Skipping train_tokenizer()." in caplog.text


def test_a_path_is_read_line_by_line(make_system, trainer, texts, tmp_path):
    texts.result = tmp_path / "text"
    texts.result.write_text("a\n\nb")
    make_system().train_tokenizer()
    assert trainer[0][0] == "a\nb\n"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("/nowhere/at/all", "Tokenizer text file not found: /nowhere/at/all"),
        (3, "text_builder must return a path or iterable of strings.*int"),
        (None, "text_builder must return a path or iterable of strings.*NoneType"),
        ([], "returned no text"),
        (["", "  "], "returned no text"),
    ],
)
def test_unusable_results_of_the_text_builder(make_system, trainer, texts, result, text):
    texts.result = result
    with pytest.raises(RuntimeError, match=text):
        make_system().train_tokenizer()
    assert trainer == []


def test_a_missing_function_is_named(make_system, trainer):
    with pytest.raises(RuntimeError, match=r"tokenizer\.text_builder\.func must be set"):
        make_system({"text_builder": {"path": "x"}}).train_tokenizer()
    with pytest.raises(ValueError, match="no function 'nope'"):
        make_system({"text_builder": {"func": "json.nope"}}).train_tokenizer()


def test_a_missing_section_is_named(make_system):
    with pytest.raises(RuntimeError, match=r"training_config\.tokenizer must be set"):
        make_system(tokenizer=None, **{}).__class__(
            training_config=OmegaConf.create({"exp_dir": "unused", "tokenizer": None})
        ).train_tokenizer()


def test_left_over_text_at_the_default_place_is_overwritten(make_system, trainer, texts, tmp_path):
    left_over = tmp_path / "data" / "train_tokenizer" / "train.txt"
    left_over.parent.mkdir(parents=True)
    left_over.write_text("old")
    make_system().train_tokenizer()
    assert trainer[0][0] == "one two\nthree\n"


def test_a_train_file_of_the_user_is_protected_but_reused_when_equal(
    make_system, trainer, texts, tmp_path
):
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    with pytest.raises(RuntimeError, match="Tokenizer training text already exists.*mine.txt"):
        make_system({"train_file": str(mine)}).train_tokenizer()
    assert mine.read_text() == "precious"
    mine.write_text("one two\nthree\n")
    make_system({"train_file": str(mine)}).train_tokenizer()
    assert len(trainer) == 1


def test_train_makes_a_missing_tokenizer_first(make_system, trainer, texts, monkeypatch):
    order = []
    monkeypatch.setattr(base_module, "train", lambda config: order.append(len(trainer)) or "model")
    system = make_system()
    assert system.train() == "model"
    assert system.train() == "model"
    assert order == [1, 1]


def test_train_without_tokenizer_just_trains(make_system, monkeypatch):
    monkeypatch.setattr(base_module, "train", lambda config: "model")
    assert make_system(**{"dataset": None, "dataset_dir": "d"}).training_config.dataset is None
    system = make_system()
    system.training_config.tokenizer = None
    assert system.train() == "model"


def test_further_ranks_never_train_the_tokenizer(make_system, trainer, texts, monkeypatch):
    monkeypatch.setattr(base_module, "train", lambda config: "model")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert make_system().train() == "model"
    assert trainer == []


def test_train_needs_a_dataset(make_system):
    with pytest.raises(RuntimeError, match="dataset or training_config.dataset_dir must be set"):
        make_system(dataset=None).train()


def test_arguments_are_rejected(make_system):
    for stage in ("train", "train_tokenizer"):
        with pytest.raises(TypeError, match=f"Stage '{stage}' does not accept arguments"):
            getattr(make_system(), stage)(1)


def test_the_tokenizer_logs_into_its_folder_unless_the_caller_says_otherwise(tmp_path):
    config = OmegaConf.create({"exp_dir": str(tmp_path), "tokenizer": {"save_path": "tok"}})
    assert str(ASRSystem(config).stage_log_dirs["train_tokenizer"]) == "tok"
    mapped = ASRSystem(config, stage_log_mapping={"train_tokenizer": "training_config.exp_dir"})
    assert mapped.stage_log_dirs["train_tokenizer"] == tmp_path
