"""Mistakes that users make in ``egs3/fsdd/asr``, and the parts that each message must have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.conftest import REPO_ROOT

TRAINING, INFERENCE = "conf/training.yaml", "conf/inference.yaml"
METRICS, PUBLICATION = "conf/metrics.yaml", "conf/publication.yaml"
CONFIGS = (
    *("--training_config", TRAINING, "--inference_config", INFERENCE),
    *("--metrics_config", METRICS, "--publication_config", PUBLICATION),
)
STAGES = (
    *("create_dataset", "train_tokenizer", "collect_stats", "train"),
    *("infer", "measure", "pack_model"),
)
ALL = ("--stages", *STAGES, *CONFIGS)


TEXT = (REPO_ROOT / "egs3" / "fsdd" / "asr" / TRAINING).read_text()


def section(name: str) -> str:
    """Return a top-level section of the training configuration."""
    found = re.search(rf"^{name}:.*\n(?:[ #].*\n)*", TEXT, re.MULTILINE)
    assert found is not None, name
    return found[0]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake and what its message must say."""

    group: str
    title: str
    """Markdown, for the page."""
    edits: tuple[tuple[str, str, str], ...] = ()
    """File, text in it, and what takes its place; an empty text goes to the top."""
    words: tuple[str, ...] = ALL
    says: tuple[str, ...]
    """Where, what, and how to mend it."""
    status: int = 1


def _edit(group: str, title: str, file: str, old: str, new: str, *says: str) -> Mistake:
    return Mistake(group=group, title=title, edits=((file, old, new),), says=says)


def _words(group: str, title: str, words: str, *says: str, status: int = 1) -> Mistake:
    return Mistake(group=group, title=title, words=tuple(words.split()), says=says, status=status)


def _set(title: str, text: str, *says: str) -> Mistake:
    return Mistake(group="`--set`", title=title, words=(*ALL, "--set", text), says=says)


KEYS, TYPES, TARGETS = "Keys", "Values of a wrong type or range", "Classes and functions"
NULLS, LINKS, FILES = "Nothing where something is needed", "Interpolations", "Files and folders"
YAML, COMMAND, TOGETHER = "YAML", "Command line", "Settings that contradict each other"
PLACEHOLDERS = "Placeholders"
T = f"{TRAINING}:"

MISTAKES: tuple[Mistake, ...] = (
    _edit(KEYS, "`optimzer:` at the top", TRAINING, "optimizer:", "override optimzer:",
          T, "optimzer", 'did you mean "optimizer"'),
    _edit(KEYS, "`vocab_sise:` in `tokenizer`", TRAINING, "vocab_size: 13", "vocab_sise: 13",
          T, "tokenizer.vocab_sise", 'did you mean "vocab_size"'),
    _edit(KEYS, "`max_epoch:` in `trainer`", TRAINING, "max_epochs: 3", "max_epoch: 3",
          T, "trainer.max_epoch:", 'did you mean "max_epochs"'),
    _edit(KEYS, "`max_batchsize:` in `dataloader.train`", TRAINING, "max_batch_size: 16",
          "max_batchsize: 16", T, "dataloader.train.max_batchsize", "max_batch_size"),
    _edit(KEYS, "`weight_deacy:` of the optimizer", TRAINING, "weight_decay: 0.01",
          "weight_deacy: 0.01", T, "optimizer.weight_deacy", 'did you mean "weight_decay"'),
    _edit(KEYS, "`num_block:` of `model.encoder`", TRAINING, "num_blocks: 2", "num_block: 2",
          T, "model.encoder.num_block:", 'did you mean "num_blocks"'),
    _edit(KEYS, "`n_mel:` of `model.frontend`", TRAINING, "n_mels: 80", "n_mel: 80",
          T, "model.frontend.n_mel:", 'did you mean "n_mels"'),
    _edit(KEYS, "`token_lst:` of the preprocessor", TRAINING,
          "    token_list: ${tokenizer", "    token_lst: ${tokenizer",
          T, "dataset.preprocessor.token_lst", 'did you mean "token_list"'),
    _edit(KEYS, "`data_src_arg:` of a data set", TRAINING, "- data_src_args: {split: train",
          "- data_src_arg: {split: train", T, "dataset.train[0].data_src_arg:",
          'did you mean "data_src_args"'),
    _edit(KEYS, "`spilt:` for a `Dataset`", TRAINING, "{split: train,", "{spilt: train,",
          T, "dataset.train[0].data_src_args.spilt", 'did you mean "split"'),
    _edit(KEYS, "`archive:` for the `DatasetBuilder`", TRAINING, "archive_path: null",
          "archive: null", T, "create_dataset.archive:", 'did you mean "archive_path"'),
    _edit(KEYS, "`manifest:` for the text builder", TRAINING, "    manifest_path:",
          "    manifest:", T, "tokenizer.text_builder.manifest", 'did you mean "manifest_path"'),
    _edit(KEYS, "`_traget_:` of the model", TRAINING, "model:\n  _target_:",
          "model:\n  _traget_:", T, "model._traget_", 'did you mean "_target_"'),
    _edit(KEYS, "`ckpt_pth:` in `fit`", TRAINING, "ckpt_path: auto", "ckpt_pth: auto",
          T, "fit.ckpt_pth", 'did you mean "ckpt_path"'),
    _edit(KEYS, "`length_only:` in `collect_stats`", TRAINING, "lengths_only:", "length_only:",
          T, "collect_stats.length_only", 'did you mean "lengths_only"'),
    _edit(KEYS, "`decoder:` of the recogniser", INFERENCE, "decode: ctc", "decoder: ctc",
          f"{INFERENCE}:", "model.decoder", 'did you mean "decode"'),
    _edit(KEYS, "`metric:` without its `s`", METRICS, "strict: true", "strict: true\nmetric: []",
          f"{METRICS}:3: metric:", 'did you mean "metrics"'),
    _edit(KEYS, "`hf_repos:` in `upload_model`", PUBLICATION, "hf_repo:", "hf_repos:",
          f"{PUBLICATION}:", "upload_model.hf_repos", 'did you mean "hf_repo"'),
    _edit(KEYS, "`lrr:` in a group of parameters", TRAINING, "  weight_decay: 0.01\n",
          "  weight_decay: 0.01\n  param_groups: [{params: encoder, lrr: 1.0e-4}]\n",
          T, "optimizer.param_groups[0].lrr", 'did you mean "lr"'),
    _edit(KEYS, "`resum:` of the runner", INFERENCE, "", "runner: {resum: false}\n",
          f"{INFERENCE}:", "runner.resum", 'did you mean "resume"'),
    _edit(KEYS, "an artifact of a field that is not written", INFERENCE, "",
          "output_artifacts: {hpy: {type: json}}\n",
          f"{INFERENCE}:", "output_artifacts.hpy", 'did you mean "hyp"'),
    _edit(KEYS, "`max_epochs:` at the top", TRAINING, "seed: 1\n", "seed: 1\nmax_epochs: 3\n",
          T, "max_epochs:", "it belongs below trainer"),
    _edit(TYPES, "an unknown type of artifact", INFERENCE, "",
          "output_artifacts: {hyp: {type: wave}}\n",
          f"{INFERENCE}:", "output_artifacts.hyp.type = 'wave'", 'did you mean "wav"'),

    _edit(TYPES, "a negative seed", TRAINING, "seed: 1\n", "seed: -1\n",
          T, "seed = -1", "must not be negative"),
    _edit(TYPES, "no blocks", TRAINING, "num_blocks: 2", "num_blocks: 0",
          T, "model.encoder.num_blocks = 0", "must be at least 1"),
    _edit(TYPES, "the text None", TRAINING, "  betas: [0.9, 0.98]", "  betas: None",
          T, "optimizer.betas = 'None'", "null is written null"),
    _edit(TYPES, "a number in words", TRAINING, "seed: 1\n", "seed: one\n",
          T, "seed = 'one'", "expected int"),
    _edit(TYPES, "a learning rate in words", TRAINING, "lr: 2.0e-3", "lr: fast",
          T, "optimizer.lr = 'fast'", "expected float"),
    _edit(TYPES, "`betas` of one number", TRAINING, "betas: [0.9, 0.98]", "betas: [0.9]",
          T, "optimizer.betas", "must have 2 items"),
    _edit(TYPES, "a text for a number of blocks", TRAINING, "num_blocks: 2", "num_blocks: two",
          T, "model.encoder.num_blocks = 'two'", "expected int"),
    _edit(TYPES, "a list for a mapping", TRAINING, section("optimizer"),
          "override optimizer: [AdamW, 0.002]\n", T, "optimizer", "must be a mapping"),
    _edit(TYPES, "a mapping for a list of data sets", TRAINING,
          '  train:\n    - data_src_args: {split: train, data_dir: "${data_dir}"}',
          '  train:\n    data_src_args: {split: train, data_dir: "${data_dir}"}',
          T, "dataset.train", "must be a list"),
    _edit(TYPES, "an unknown tokenizer type", TRAINING, "model_type: word", "model_type: bep",
          T, "tokenizer.model_type = 'bep'", 'did you mean "bpe"'),
    _edit(TYPES, "an unknown loader", TRAINING, "train: {loader: native", "train: {loader: nativ",
          T, "dataloader.train.loader = 'nativ'", "expected native or a mapping or null"),
    _edit(TYPES, "an unknown part of the model", TRAINING, "type: conformer", "type: conformr",
          T, "model.encoder.type = 'conformr'", 'did you mean "conformer"'),
    _edit(TYPES, "an unknown way to decode", INFERENCE, "decode: ctc_greedy", "decode: greedy",
          f"{INFERENCE}:", "model.decode = 'greedy'", "ctc_greedy"),
    _edit(TYPES, "an unknown accelerator", TRAINING, "trainer:", "trainer:\n  accelerator: gpuu",
          T, "trainer.accelerator = 'gpuu'", 'did you mean "gpu"'),
    _edit(TYPES, "devices in words", TRAINING, "trainer:", "trainer:\n  devices: abc",
          T, "trainer.devices = 'abc'", "number of devices"),
    _edit(TYPES, "no device to train on", TRAINING, "seed: 1\n", "seed: 1\nnum_device: 0\n",
          T, "num_device = 0", "must be at least 1"),
    _edit(TYPES, "a device that does not exist", INFERENCE, "batch_size: 16", "device: cud",
          f"{INFERENCE}:", "device = 'cud'", 'did you mean "cuda"'),
    _edit(TYPES, "an unknown precision", TRAINING, "trainer:", "trainer:\n  precision: bf16-mix",
          T, "trainer.precision = 'bf16-mix'", 'did you mean "bf16-mixed"'),
    _edit(TYPES, "an unknown strategy", TRAINING, "trainer:", "trainer:\n  strategy: dpp",
          T, "trainer.strategy = 'dpp'", 'did you mean "ddp"'),
    _edit(TYPES, "a time limit in minutes", TRAINING, '"00:30:00"', '"30 min"',
          T, "trainer.time_limit = '30 min'", "HH:MM:SS"),
    _edit(TYPES, "a time limit without quotes", TRAINING, '"00:30:00"', "90",
          T, "trainer.time_limit = 90", "HH:MM:SS", "in quotes"),
    _edit(TYPES, "a frame shift of nothing", TRAINING, "hop_length: 80", "hop_length: 0",
          T, "model.frontend.hop_length = 0", "must be at least 1"),
    _edit(TYPES, "no checkpoint to keep", TRAINING, "trainer:", "trainer:\n  keep_last: 0",
          T, "trainer.keep_last = 0", "at least 1"),
    _edit(TYPES, "no workers", INFERENCE, "batch_size: 16", "parallel: {n_workers: 0}",
          f"{INFERENCE}:", "parallel.n_workers = 0", "1 or more"),
    _edit(TYPES, "a criterion without a mode", TRAINING, "seed: 1\n",
          "seed: 1\nbest_model_criterion: [[valid/loss, 3]]\n",
          T, "best_model_criterion[0]", "[metric, top_k, min or max]"),
    _edit(TYPES, "a vocabulary of 2 symbols", TRAINING, "vocab_size: 13", "vocab_size: 2",
          T, "tokenizer", "at least 4"),
    _edit(TYPES, "`strict: maybe`", METRICS, "strict: true", "strict: maybe",
          f"{METRICS}:2: strict = 'maybe'", "expected bool"),

    _edit(TARGETS, "a class that does not exist", TRAINING, "torch.optim.AdamW",
          "torch.optim.AdamV", T, "optimizer._target_", "torch.optim was found", "did you mean"),
    _edit(TARGETS, "a package that does not exist", TRAINING, "torch.optim.AdamW",
          "troch.optim.AdamW", T, "optimizer._target_", "no module named 'troch'", "spelling"),
    _edit(TARGETS, "a function that does not exist", TRAINING, "src.tokenizer.gather_training_text",
          "src.tokenizer.gather_text", T, "tokenizer.text_builder.func", "did you mean"),
    _edit(TARGETS, "a text that is no path", INFERENCE,
          "output_fn: espnet3.systems.asr.outputs.build_output", "output_fn: build output",
          f"{INFERENCE}:", "output_fn = 'build output'", "not a dotted import path"),
    _edit(TARGETS, "another scheduler with an argument of the old one", TRAINING,
          "schedulers.LinearWarmupCosineLR", "schedulers.WarmupLR",
          T, "scheduler.max_steps", "is not an argument of", "WarmupLR"),
    _edit(TARGETS, "a callback without what it needs", TRAINING, "trainer:",
          "trainer:\n  callbacks: [{_target_: lightning.pytorch.callbacks.EarlyStopping}]",
          T, "trainer.callbacks[0]", "needs the argument monitor"),
    _edit(TARGETS, "a class without its module", TRAINING, "torch.optim.AdamW", "AdamW",
          T, "optimizer._target_ = 'AdamW'", "torch.optim.AdamW"),
    _edit(TARGETS, "an argument that the framework gives", TRAINING, "lr: 2.0e-3",
          "lr: 2.0e-3\n  params: all", T, "optimizer.params", "by the framework", "remove it"),
    _edit(TARGETS, "a data set module that does not exist", TRAINING,
          "- data_src_args: {split: valid",
          "- data_src: fsd/asr\n      data_src_args: {split: valid",
          T, "dataset.valid[0].data_src = 'fsd/asr'", "egs3.fsd.asr.dataset"),

    _edit(NULLS, "`model: null`", TRAINING, section("model"), "model: null\n",
          TRAINING, "model", "names no model", "set model._target_"),
    _edit(NULLS, "`optimizer: null`", TRAINING, section("optimizer"), "optimizer: null\n",
          TRAINING, "optimizer", "for example optimizer: {_target_: torch.optim.AdamW}"),
    _edit(NULLS, "no training data", TRAINING,
          '  train:\n    - data_src_args: {split: train, data_dir: "${data_dir}"}',
          "  train: null",
          TRAINING, "dataset.train", "at least one data set"),
    _edit(NULLS, "no size of the vocabulary", TRAINING,
          "  vocab_size: 13 # ten words, <blank>, <unk>, <sos/eos>\n", "",
          TRAINING, "tokenizer.vocab_size", "must be set"),
    _edit(NULLS, "null for a size of the model", TRAINING, "output_size: 96", "output_size: null",
          T, "model.encoder.output_size", "must not be null", "remove the key"),
    _edit(NULLS, "null for an argument of the text builder", TRAINING,
          "manifest_path: ${data_dir}/manifest/train.tsv", "manifest_path: null",
          T, "tokenizer.text_builder.manifest_path", "must not be null"),
    _edit(NULLS, "no text for the tokenizer", TRAINING,
          "  text_builder:\n    func: src.tokenizer.gather_training_text\n"
          "    manifest_path: ${data_dir}/manifest/train.tsv\n", "",
          TRAINING, "tokenizer.text_builder.func", "must be set", "src.tokenizer"),
    _edit(TOGETHER, "a limit that only dynamic batches have", INFERENCE, "batch_size: 16",
          "batch_size: 16\nexecution: {batching: {max_cost: 100}}", f"{INFERENCE}:",
          "execution.batching.max_cost", "mode: dynamic"),
    _edit(TOGETHER, "failures that may be, where none may", INFERENCE, "batch_size: 16",
          "batch_size: 16\nexecution: {max_failures: 5}", f"{INFERENCE}:",
          "execution.max_failures = 5", "execution.on_error to record"),
    _edit(TOGETHER, "blocks of one length", METRICS, "strict: true",
          "strict: true\nconfidence: {block_by: length}", f"{METRICS}:3",
          "confidence.block_by = 'length'", "cannot be blocks"),
    _edit(TYPES, "a number for the name of a test set", INFERENCE, "name: test", "name: 5",
          f"{INFERENCE}:", "dataset.test[0].name = 5", "in quotes"),
    _edit(NULLS, "no test set", INFERENCE,
          '    - name: test\n      data_src_args: {split: test, data_dir: "${data_dir}"}', "    []",
          INFERENCE, "dataset.test", "at least one test set"),
    _edit(NULLS, "a test set without a name", INFERENCE, "- name: test\n      data", "- data",
          INFERENCE, "dataset.test[0]", "name"),
    _edit(NULLS, "no field for the model", INFERENCE, "batch_size: 16", "input_key: null",
          INFERENCE, "input_key", "must be set"),

    _edit(LINKS, "a key that does not exist", TRAINING, "token_list: ${tokenizer.save_path}",
          "token_list: ${tokenizer.save_pth}", T, "tokenizer.save_pth", 'did you mean "save_path"'),
    _edit(LINKS, "a brace that is not closed", INFERENCE, "${exp_dir}/training.yaml",
          "${exp_dir/training.yaml", f"{INFERENCE}:", "model.train_config"),
    _edit(LINKS, "an unknown resolver", INFERENCE, "${exp_dir}/training.yaml",
          "${now:exp}/training.yaml", f"{INFERENCE}:", "model.train_config", "now"),
    _edit(LINKS, "a circle", TRAINING, "seed: 1\n", "seed: 1\ndata_dir: ${stats_dir}\n"
          "stats_dir: ${data_dir}\n", TRAINING, "data_dir"),
    _edit(LINKS, "`iter_factory: null` for train only", TRAINING,
          "train: {loader: native, length_unit: samples, max_batch_size: 16}",
          "train: {iter_factory: null}", "dataloader.train.iter_factory is null",
          "set dataloader.valid.iter_factory to null too"),
    _edit(LINKS, "a line of a file that nothing writes", INFERENCE, "batch_size: 16",
          "batch_size: ${load_yaml:sizes.yaml,batch}\n", INFERENCE, "batch_size", "sizes.yaml"),

    _words(FILES, "a configuration file that does not exist",
           "--stages train --training_config conf/train.yaml", "conf/train.yaml", "no such file"),
    _words(FILES, "a folder for a configuration file",
           "--stages train --training_config conf", "conf: is not a regular file",
           "name a file", "conf/training.yaml"),
    _edit(FILES, "an include that does not exist", TRAINING, "", "defaults: [base]\n",
          f"{T}1: defaults", "base.yaml", "does not exist"),
    _edit(FILES, "weights that training does not write", INFERENCE, "last.ckpt", "best.ckpt",
          f"{INFERENCE}:", "model.model_file", "train writes no such file", "last.ckpt"),
    _edit(FILES, "a token list that the tokenizer does not write", TRAINING,
          "model:\n  _target_: espnet3.systems.asr.models.ASRModel\n"
          "  token_list: ${tokenizer.save_path}/tokens.txt",
          "model:\n  _target_: espnet3.systems.asr.models.ASRModel\n"
          "  token_list: ${tokenizer.save_path}/token.txt",
          T, "model.token_list", "train_tokenizer writes no such file",
          'did you mean "tokens.txt"'),
    _edit(FILES, "initial weights that do not exist", TRAINING, "seed: 1\n",
          "seed: 1\ninit_from: {path: exp/old/last.ckpt}\n",
          T, "init_from.path = 'exp/old/last.ckpt'", "no such file"),
    _edit(FILES, "a checkpoint that does not exist", TRAINING, "ckpt_path: auto",
          "ckpt_path: exp/training/step5.ckpt", T, "fit.ckpt_path", "no such file"),

    _edit(YAML, "a tab", TRAINING, "  lr: 2.0e-3", "\tlr: 2.0e-3",
          T, "YAML does not allow tabs"),
    _edit(YAML, "a key twice", TRAINING, "seed: 1\n", "seed: 1\nseed: 2\n",
          T, "duplicate key seed", "it is in line 4 too"),
    _edit(YAML, "no blank after a colon", TRAINING, "seed: 1\n", "seed:1\n",
          T, "line 4: write a blank after the colon"),
    _edit(YAML, "an item for a key", TRAINING, "model:\n  _target_", "model:\n  - _target_",
          T, "check the indentation"),
    _edit(YAML, "a bracket that is not closed", TRAINING, "betas: [0.9, 0.98]",
          "betas: [0.9, 0.98", T),
    _edit(YAML, "a list for the whole file", METRICS, "strict: true", "- strict",
          METRICS, "must hold a mapping, not a list"),
    _edit(YAML, "`x` and `override x` side by side", TRAINING, "seed: 1\n",
          "seed: 1\noverride seed: 2\n", TRAINING, "seed", "keep one of them"),
    _edit(YAML, "`defaults` that is no list", TRAINING, "", "defaults: base\n",
          f"{T}1: defaults", "must be a list"),
    _edit(YAML, "an include with a wrong suffix", TRAINING, "", "defaults: [base.yml]\n",
          f"{T}1: defaults", "'.yml'", "only .yaml files"),
    _edit(YAML, "a file that includes itself", TRAINING, "", "defaults: [training]\n",
          f"{T}1: defaults", "includes form a cycle"),
    _edit(YAML, "a file that is no text", TRAINING, "", "\x00", TRAINING, "U+0000"),

    _set("an unknown slot", "train.seed=1", "--set train.seed=1", 'did you mean "training"'),
    _set("an unknown key", "training.sead=1", "--set training.sead=1", 'did you mean "seed"'),
    _set("an unknown key in a section", "training.trainer.max_step=1",
         "--set training.trainer.max_step=1", 'did you mean "max_steps"'),
    _set("no value", "training.seed", "--set training.seed", "slot.key=value"),
    _set("a value of a wrong type", "training.seed=one", "--set training.seed=one", "expected int"),
    _set("a list item that does not exist", "training.dataset.train[3].name=x",
         "--set training.dataset.train[3].name=x", "1 items"),

    _words(COMMAND, "an unknown stage", "--stages trian --training_config conf/training.yaml",
           "invalid choice: 'trian'", "'train'", 'did you mean "train"', status=2),
    _words(COMMAND, "an unknown flag", "--stages train --trainin_config conf/training.yaml",
           "unrecognized arguments", 'did you mean "--training_config"', status=2),
    _words(COMMAND, "a flag of an earlier version", "--train_config conf/training.yaml",
           "--train_config is now called --training_config", status=2),
    _words(COMMAND, "a stage without its configuration",
           "--stages train infer --training_config conf/training.yaml",
           "not provided for stage(s): infer", "--inference_config"),
    _words(COMMAND, "a configuration under another's flag",
           "--stages train --training_config conf/inference.yaml",
           "conf/inference.yaml: looks like a file for --inference_config,"
           " not for --training_config", "output_fn, batch_size"),
    _words(COMMAND, "`infer` without the name of an experiment",
           "--stages infer --inference_config conf/inference.yaml",
           "infer stage requires --training_config", "exp_tag/exp_dir"),
    _words(COMMAND, "`train` before `collect_stats`",
           "--stages train --training_config conf/training.yaml",
           "dataloader.train.loader", "no such file", "run the stage collect_stats first"),
    _words(COMMAND, "`infer` before `train`",
           "--stages infer --training_config conf/training.yaml"
           " --inference_config conf/inference.yaml",
           "model.train_config", "no such file", "run the stage train first"),
    _words(COMMAND, "`measure` before `infer`",
           "--stages measure --training_config conf/training.yaml"
           " --metrics_config conf/metrics.yaml",
           "inference_dir", "no such folder", "run the stage infer first"),
    _words(COMMAND, "`pack_model` before `train`",
           "--stages pack_model --training_config conf/training.yaml"
           " --publication_config conf/publication.yaml",
           "exp_dir", "no such folder", "run the stage train first"),

    _edit(TOGETHER, "a schedule that ends before its warm-up", TRAINING,
          "max_steps: ${trainer.max_steps}", "max_steps: 100",
          T, "scheduler.max_steps = 100", "larger than warmup_steps = 150"),
    _edit(TOGETHER, "another number of devices", TRAINING, "trainer:", "trainer:\n  devices: 2",
          T, "trainer.devices = 2", "differs from num_device = 1", "set num_device only"),
    _edit(TOGETHER, "heads that do not divide the features", TRAINING, "attention_heads: 4",
          "attention_heads: 5", T, "model.encoder.output_size = 96", "multiple of attention_heads"),
    _edit(TOGETHER, "`loader` and `iter_factory`", TRAINING, "train: {loader: native,",
          "train: {loader: native, iter_factory: {num_workers: 1},",
          T, "dataloader.train.iter_factory", "sets both", "keep one of them"),
    _edit(TOGETHER, "a native key without the native loader", TRAINING,
          "train: {loader: native, length_unit", "train: {length_unit",
          T, "dataloader.train.length_unit", "only with `loader: native`"),
    _edit(TOGETHER, "two names of one setting", TRAINING, "max_batch_size: 16",
          "max_tokens: 100, batch_bins: 100", T, "dataloader.train.batch_bins", "give one of them"),
    _edit(TOGETHER, "a schedule that follows no metric", TRAINING,
          "scheduler:\n  _target_: espnet3.components.optimizers.schedulers.LinearWarmupCosineLR\n"
          "  warmup_steps: 150\n  max_steps: ${trainer.max_steps}",
          "override scheduler:\n  _target_: torch.optim.lr_scheduler.ReduceLROnPlateau",
          TRAINING, "scheduler_monitor", "follows a metric", "valid/loss"),
    _edit(TOGETHER, "a metric that nothing logs", TRAINING, "seed: 1\n",
          "seed: 1\nbest_model_criterion: [[val/loss, 3, min]]\n",
          T, "best_model_criterion[0] = 'val/loss'", 'did you mean "valid/loss"'),
    _edit(TOGETHER, "a metric that the model does not report", TRAINING, "seed: 1\n",
          "seed: 1\nbest_model_criterion: [[valid/cer, 3, min]]\n",
          T, "best_model_criterion[0] = 'valid/cer'", "valid/cer_ctc"),
    _edit(TOGETHER, "a metric of a callback that the model does not report", TRAINING, "trainer:",
          "trainer:\n  callbacks:\n    - _target_: lightning.pytorch.callbacks.EarlyStopping\n"
          "      monitor: valid/lss",
          T, "trainer.callbacks[0].monitor = 'valid/lss'", 'did you mean "valid/loss"'),
    _edit(TOGETHER, "statistics that are not collected", TRAINING,
          "normalize: {type: utterance_mvn, norm_means: true, norm_vars: true}",
          'normalize: {type: global_mvn, stats_file: "${stats_dir}/train/feats_stats.npz"}',
          T, "model.normalize.stats_file", "lengths_only"),
    _edit(TOGETHER, "lengths that are not collected", TRAINING,
          "train: {loader: native, length_unit: samples",
          "train: {loader: native, length_unit: frames",
          T, "dataloader.train.loader", "speech_shape only", "length_unit: samples"),
    _edit(TOGETHER, "a metric of a field that is not written", METRICS, "strict: true",
          "strict: true\nmetrics:\n  - metric:\n"
          "      _target_: espnet3.systems.asr.metrics.wer.WER\n      hyp_key: hypo",
          f"{METRICS}:6: metrics[0].metric.hyp_key = 'hypo'",
          "infer writes no such field", 'did you mean "hyp"'),
    _edit(TOGETHER, "a test set that is not decoded", METRICS, "strict: true",
          "strict: true\ndataset: {test: [{name: tset}]}",
          f"{METRICS}:3: dataset.test[0].name = 'tset'", 'did you mean "test"'),

    _edit(TOGETHER, "a log mode that does not exist", TRAINING, "seed: 1\n",
          "seed: 1\nstage_log_mode: perrank\n",
          T, "stage_log_mode = 'perrank'", 'did you mean "per_rank"'),
    _edit(TYPES, "an unknown text normaliser", METRICS, "strict: true",
          "strict: true\nmetrics:\n  - metric:\n"
          "      _target_: espnet3.systems.asr.metrics.wer.WER\n      normalizer: [lowercas]",
          f"{METRICS}:6: metrics[0].metric.normalizer[0] = 'lowercas'",
          'did you mean "lowercase"'),
    _edit(TOGETHER, "a column that no output has", METRICS, "strict: true",
          "strict: true\nbreakdown: [length, hpy]",
          f"{METRICS}:3: breakdown[1] = 'hpy'", 'did you mean "hyp"'),
    _edit(TOGETHER, "blocks of a column that no output has", METRICS, "strict: true",
          "strict: true\nconfidence: {block_by: reff}",
          f"{METRICS}:3: confidence.block_by = 'reff'", 'did you mean "ref"'),
    _edit(TOGETHER, "a table of a test set that is not scored", METRICS, "strict: true",
          "strict: true\nmetadata: {tset: utterances.tsv}",
          f"{METRICS}:3: metadata.tset", 'did you mean "test"'),
    _edit(FILES, "a table of columns that is not there", METRICS, "strict: true",
          "strict: true\nmetadata: utterances.tsv",
          f"{METRICS}:3: metadata = 'utterances.tsv'", "no such file"),
    _edit(TOGETHER, "a part to freeze that the model lacks", TRAINING, "seed: 1\n",
          "seed: 1\nfreeze: [enocder]\n",
          T, "freeze[0] = 'enocder'", 'did you mean "encoder"'),
    _edit(FILES, "a misspelt file to pack", PUBLICATION, "strict: true",
          "strict: true\npack_model: {include: [readm.md]}",
          f"{PUBLICATION}:2: pack_model.include[0] = 'readm.md'", 'did you mean "readme.md"'),
    _edit(PLACEHOLDERS, "`/path/to/your/…` as a file", TRAINING, "archive_path: null",
          "archive_path: /path/to/your/archive.tar.gz", T, "create_dataset.archive_path",
          "must be set", "replace the placeholder"),
    Mistake(group=PLACEHOLDERS, title="`your-name/…` as a repository",
            words=("--stages", *STAGES, "upload_model", *CONFIGS),
            says=(f"{PUBLICATION}:", "upload_model.hf_repo = 'your-name/fsdd_asr'",
                  "replace the placeholder")),
)  # fmt: skip
"""In the order of the page."""
