"""Paths that users write in code and YAML stay where they are."""

from __future__ import annotations

import inspect

import pytest

from espnet3.utils.import_utils import import_object

PUBLIC = [
    "espnet3.systems.base.system.BaseSystem",
    "espnet3.systems.base.training.collect_stats",
    "espnet3.systems.base.training.train",
    "espnet3.systems.base.inference.infer",
    "espnet3.systems.base.metric.measure",
    "espnet3.utils.stages_utils.run_stages",
    "espnet3.utils.publish_utils.pack_model",
    "espnet3.utils.publish_utils.upload_model",
    "espnet3.demo.pack.pack_demo",
    "espnet3.demo.pack.upload_demo",
    "espnet3.demo.setup.setup_demo_assets",
    *(
        f"espnet3.demo.resolve.{name}"
        for name in (
            "load_demo_config",
            "resolve_infer_path",
            "load_infer_config",
            "resolve_absolute_path",
            "resolve_output_keys",
            "resolve_extra_kwargs",
            "resolve_infer_kwargs",
            "resolve_provider_class",
            "resolve_runner_class",
        )
    ),
    "espnet3.demo.runtime.DemoRuntime",
    "espnet3.demo.runtime.SingleItemDataset",
    "espnet3.demo.runtime.build_runtime",
    "espnet3.demo.runtime.run_inference",
    "espnet3.demo.ui.UiSpec",
    "espnet3.demo.ui.build_ui_from_config",
    "espnet3.demo.app_builder.build_demo_app",
    "espnet3.systems.asr.demo.build_ui_default",
    "espnet3.systems.asr.demo.build_ui",
    "espnet3.systems.asr.demo.build_inference_default",
    "espnet3.systems.asr.system.ASRSystem",
    "espnet3.publication.InferenceSession",
    "espnet3.publication.inference_session.InferenceSession",
    "espnet3.components.data.DataOrganizer",
    "espnet3.components.data.data_organizer.DataOrganizer",
    "espnet3.components.data.dataset_builder.DatasetBuilder",
    "espnet3.components.data.collate.CommonCollateFn",
    "espnet3.components.data.iterators.SequenceIterFactory",
    "espnet3.components.data.preprocessor.CommonPreprocessor",
    "espnet3.components.modeling.lightning_module.ESPnetLightningModule",
    "espnet3.components.trainers.trainer.ESPnet3LightningTrainer",
    "espnet3.components.callbacks.default_callbacks.get_default_callbacks",
    "espnet3.components.metrics.base_metric.BaseMetric",
    "espnet3.components.optimizers.schedulers.WarmupLR",
    "espnet3.systems.base.inference_provider.InferenceProvider",
    "espnet3.systems.base.inference_runner.InferenceRunner",
    "espnet3.systems.asr.metrics.wer.WER",
    "espnet3.systems.asr.metrics.cer.CER",
    "espnet3.systems.asr.models.ASRModel",
    "espnet3.systems.asr.recognizer.SpeechRecognizer",
    "espnet3.systems.asr.outputs.build_output",
    "espnet3.systems.asr.tokenizers.sentencepiece.train_sentencepiece",
    "espnet3.utils.config_utils.load_and_merge_config",
    "espnet3.utils.config_utils.instantiate_config",
    "espnet3.utils.logging_utils.configure_logging",
    "espnet3.utils.run_utils.apply_training_experiment_context",
    "espnet3.parallel.base_runner.BaseRunner",
    "espnet3.parallel.env_provider.EnvironmentProvider",
    "egs3.TEMPLATE.asr.run.main",
]


@pytest.mark.parametrize("path", PUBLIC)
def test_public_path_leads_to_a_documented_object(path: str) -> None:
    found = import_object(path)
    assert callable(found)
    assert inspect.getdoc(found)


def test_session_is_one_class_under_both_paths() -> None:
    first, second = (import_object(p) for p in PUBLIC if p.endswith("InferenceSession"))
    assert first is second
