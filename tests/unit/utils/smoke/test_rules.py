from __future__ import annotations

import pytest

from espnet3.utils.smoke.rules import (
    TEST_UTTERANCES,
    TRAINING_UTTERANCES,
    shrink_inference,
    shrink_training,
)

ORGANIZER = "espnet3.components.data.data_organizer.DataOrganizer"
CSV = {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "exp/a", "name": "c"}


def training(**config):
    return dict(shrink_training({"exp_dir": "exp/a", **config}))


def test_steps_devices_and_batches_are_small_in_any_recipe():
    found = training()
    assert found["trainer.max_steps"] <= 10
    assert (found["num_device"], found["trainer.accelerator"]) == (1, "cpu")
    assert found["parallel"] == {"env": "local", "n_workers": 1}


def test_what_a_cpu_cannot_or_need_not_do_is_switched_off_where_it_is_set():
    trainer = {"precision": "16-mixed", "profiler": "simple", "min_epochs": 5, "strategy": "ddp"}
    found = training(trainer=trainer)
    assert found["trainer.precision"] == "32-true"
    assert found["trainer.profiler"] is None
    assert found["trainer.min_epochs"] is None
    assert found["trainer.strategy"] == "auto"
    assert "trainer.precision" not in training()


@pytest.mark.parametrize(
    ("logger", "replaced"),
    [
        ([CSV], False),
        (False, False),
        ([CSV, {"_target_": "lightning.pytorch.loggers.WandbLogger"}], True),
        ({**CSV, "save_dir": "elsewhere"}, True),
        (None, True),
        (True, True),
    ],
)
def test_loggers_other_than_a_table_in_the_experiment_are_replaced(logger, replaced):
    assert ("trainer.logger" in training(trainer={"logger": logger})) is replaced


def test_loaders_read_in_this_process_and_make_small_batches():
    batches = {"batch_size": 32, "num_workers": 8}
    found = training(
        dataloader={
            "collate_fn": {"batch_size": 99},
            "train": {"max_batch_size": 64, "num_workers": 4, "prefetch_factor": 2},
            "valid": {"batch_size": 2, "iter_factory": {"batches": batches}},
        }
    )
    assert {k: v for k, v in found.items() if k.startswith("dataloader.")} == {
        "dataloader.train.max_batch_size": 4,
        "dataloader.train.num_workers": 0,
        "dataloader.train.prefetch_factor": None,
        "dataloader.valid.iter_factory.batches.batch_size": 4,
        "dataloader.valid.iter_factory.batches.num_workers": 0,
    }


def test_only_models_of_the_library_are_made_smaller():
    encoder = {"output_size": 256, "num_blocks": 12, "dropout_rate": 0.1, "attention_heads": 1}
    found = training(model={"_target_": "espnet3.systems.asr.models.ASRModel", "encoder": encoder})
    assert found["model.encoder.num_blocks"] == 1
    assert found["model.encoder.output_size"] == 32
    assert "model.encoder.attention_heads" not in found
    assert not any(
        key.startswith("model")
        for key in training(model={"_target_": "src.model.MyModel", "num_blocks": 12})
    )


def test_data_sets_of_the_library_are_cut():
    config = {"dataset": {"_target_": ORGANIZER}}
    assert training(**config)["dataset.max_utterances"] == TRAINING_UTTERANCES
    assert dict(shrink_inference(config))["dataset.max_utterances"] == TEST_UTTERANCES
    assert "dataset.max_utterances" not in training(dataset={"_target_": "src.data.Mine"})


def test_the_tokenizer_takes_as_many_symbols_as_the_text_gives():
    assert training(tokenizer={"vocab_size": 5000})["tokenizer.hard_vocab_limit"] is False
    assert "tokenizer.hard_vocab_limit" not in training(tokenizer=None)


def test_schedules_fit_the_few_steps_and_training_starts_anew():
    found = training(scheduler={"warmup_steps": 9000, "decay_start": 1}, fit={"ckpt_path": "auto"})
    assert found["scheduler.warmup_steps"] == 2
    assert "scheduler.decay_start" not in found
    assert found["fit.ckpt_path"] is None


def test_decoding_is_small():
    model = {"_target_": "espnet3.systems.asr.recognizer.SpeechRecognizer", "beam_size": 10}
    found = dict(shrink_inference({"batch_size": 16, "model": model}))
    assert (found["batch_size"], found["model.beam_size"], found["device"]) == (4, 2, "cpu")
    assert "batch_size" not in dict(shrink_inference({"batch_size": None}))
