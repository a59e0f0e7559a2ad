from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from espnet3.errors import BundleError, ConfigError, DataError, MissingConfigError
from espnet3.publication import InferenceSession
from espnet3.utils.weights_utils import export_safetensors, read_state_dict
from tests.unit.publication import backends
from tests.unit.publication.conftest import BACKENDS, write

ECHO = {"_target_": f"{BACKENDS}.Echo"}


def double(speech):
    return [2 * s for s in speech] if isinstance(speech, list) else 2 * speech


def only_single(speech):
    if isinstance(speech, list):
        raise TypeError("one at a time")
    return -speech


def with_idx(data, model_output, idx):
    return data, model_output, idx


class Downloader:
    """Stands in for the downloader of the model zoo."""

    artifacts: dict = {}

    def download_and_unpack(self, tag):
        return dict(self.artifacts, tag=tag)


class OwnLoader:
    def __init__(self, **options):
        self.options = options

    @classmethod
    def from_pretrained(cls, model_tag=None, **options):
        return cls(model_tag=model_tag, **options)


class Forgetful:
    """Does not read its weights."""

    def __init__(self, model_file):
        self.layer = torch.nn.Linear(2, 2)

    def __call__(self, speech):
        return self.layer(speech)


class Loading(Forgetful):
    def __init__(self, model_file):
        super().__init__(model_file)
        self.layer.load_state_dict(read_state_dict(model_file))


def bundle(root, *, inference=None, files=(), meta=None):
    """Write a bundle by hand."""
    for name, content in files:
        write(root / name, content)
    yaml_files = {}
    if inference is not None:
        write(root / "conf" / "inference.yaml", {"recipe_dir": ".", **inference})
        yaml_files = {"inference_config": "conf/inference.yaml"}
    write(
        root / "meta.yaml",
        {"files": {}, "yaml_files": yaml_files, "schema_version": 1, **(meta or {})},
    )
    return {name: str(root / path) for name, path in yaml_files.items()} or {
        "meta": str(root / "meta.yaml")
    }


def test_a_bare_value_and_a_mapping_reach_the_model_under_the_input_key():
    session = InferenceSession(backends.Echo(), input_key="audio")
    assert session(3) == {"audio": 3}
    assert session.forward({"audio": 4, "more": 5}) == {"audio": 4}
    with pytest.raises(KeyError, match="audio"):
        session({"speech": 1})


def test_several_inputs_need_a_mapping():
    session = InferenceSession(backends.Echo(), input_key=["a", "b"])
    assert session({"a": 1, "b": 2, "c": 3}) == {"a": 1, "b": 2}
    with pytest.raises(RuntimeError, match="several inputs"):
        session(1)


@pytest.mark.parametrize("key", ["a", ["a"], ("a",), OmegaConf.create(["a"])])
def test_the_primary_input_key_is_the_single_one(key):
    assert InferenceSession(double, input_key=key).primary_input_key == "a"


def test_no_primary_input_key_among_several():
    with pytest.raises(RuntimeError, match="a, b"):
        _ = InferenceSession(double, input_key=["a", "b"]).primary_input_key


def test_the_output_function_sees_sample_output_and_idx():
    session = InferenceSession(double, output_fn=with_idx)
    assert session({"speech": 2, "utt_id": "u"}, idx=7) == ({"speech": 2, "utt_id": "u"}, 4, 7)
    assert session(2) == ({"speech": 2}, 4, 0)


def test_two_output_functions_are_refused():
    with pytest.raises(ValueError, match="not both"):
        InferenceSession(double, output_fn=with_idx, output_fn_path="a.b")


def test_the_output_function_can_be_named():
    session = InferenceSession(double, output_fn_path=f"{__name__}.with_idx")
    assert session(2, idx=1) == ({"speech": 2}, 4, 1)


def test_metadata_and_artifacts_are_copied():
    metadata = {"a": 1}
    session = InferenceSession(double, bundle_metadata=metadata)
    metadata["a"] = 2
    assert (session.bundle_metadata, session.artifacts) == ({"a": 1}, {})


def test_a_batch_is_one_call_when_it_is_preferred():
    calls = []

    def model(speech):
        calls.append(speech)
        return double(speech)

    session = InferenceSession(model, prefer_model_batch=True)
    assert session.forward_batch([1, {"speech": 2}]) == [2, 4]
    assert session.forward_batch([]) == []
    assert session.forward_batch([3, 4], use_model_batch=False) == [6, 8]
    assert InferenceSession(model).forward_batch([5, 6]) == [10, 12]
    assert calls == [[1, 2], 3, 4, 5, 6]


def test_the_output_function_of_a_batch_sees_lists():
    session = InferenceSession(
        double, output_fn=lambda **seen: [(seen, n) for n in (1, 2)], prefer_model_batch=True
    )
    seen = {"data": [{"speech": 1}, {"speech": 2}], "model_output": [2, 4], "idx": ["a", "b"]}
    assert session.forward_batch([1, 2], indices=["a", "b"]) == [(seen, 1), (seen, 2)]


def test_only_ordinary_errors_of_a_batch_fall_back():
    def interrupted(speech):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InferenceSession(interrupted, prefer_model_batch=True).forward_batch([1])


def test_a_single_result_of_a_batch_of_one_is_wrapped():
    session = InferenceSession(lambda speech: "text", prefer_model_batch=True)
    assert session.forward_batch([1]) == ["text"]


def test_a_failed_batch_falls_back_in_order(caplog):
    session = InferenceSession(only_single, prefer_model_batch=True, output_fn=with_idx)
    with caplog.at_level(logging.WARNING):
        results = session.forward_batch([1, 2, 3], indices=["a", "b", "c"])
    assert results == [({"speech": n}, -n, i) for n, i in zip((1, 2, 3), "abc", strict=True)]
    assert "one at a time" in caplog.text


def test_without_fallback_a_failed_batch_is_an_error():
    session = InferenceSession(only_single, fallback_to_single_on_batch_error=False)
    with pytest.raises(RuntimeError, match="one at a time"):
        session.forward_batch([1, 2], use_model_batch=True)
    wrong = InferenceSession(lambda speech: [1, 2, 3])
    with pytest.raises(RuntimeError, match="wrong number of outputs: expected 2, got 3"):
        wrong.forward_batch([1, 2], use_model_batch=True, fallback_to_single_on_error=False)
    assert wrong.forward_batch([1], use_model_batch=True) == [[1, 2, 3]]


def test_a_missing_input_never_falls_back():
    session = InferenceSession(double, prefer_model_batch=True)
    with pytest.raises(KeyError, match="speech"):
        session.forward_batch([{"speech": 1}, {"text": 2}])


def test_indices_must_match_the_samples():
    with pytest.raises(ValueError, match="same length as samples"):
        InferenceSession(double).forward_batch([1, 2], indices=[1])


def test_from_config_builds_on_the_device_and_leaves_the_config_alone():
    config = OmegaConf.create({"model": ECHO, "device": "cpu", "input_key": ["a", "b"]})
    before = OmegaConf.to_yaml(config)
    session = InferenceSession.from_config(config)
    assert (session.model.device, session.input_key, session.bundle_root) == (
        "cpu",
        ["a", "b"],
        None,
    )
    assert OmegaConf.to_yaml(config) == before


def test_from_config_uses_the_output_function_of_the_config():
    session = InferenceSession.from_config(
        {"model": ECHO, "output_fn": f"{__name__}.with_idx", "device": "cpu"}
    )
    assert session({"speech": 1, "utt_id": "u"}, idx=5) == (
        {"speech": 1, "utt_id": "u"}, {"speech": 1}, 5
    )  # fmt: skip


def test_a_broken_interpolation_elsewhere_does_not_matter():
    config = {"model": ECHO, "device": "cpu", "dataset": {"root": "${nowhere}"}}
    assert InferenceSession.from_config(config)(1) == {"speech": 1}


def test_recipe_code_of_a_config_needs_trust_and_a_recipe(tmp_path):
    write(
        tmp_path / "src" / "inference.py", "def build(data, model_output, idx):\n    return 'x'\n"
    )
    config = {"model": ECHO, "device": "cpu", "output_fn": "src.inference.build"}
    with pytest.raises(ValueError, match="references bundled user code"):
        InferenceSession.from_config(config)
    with pytest.raises(RuntimeError, match="recipe_dir"):
        InferenceSession.from_config(config, trust_user_code=True)
    session = InferenceSession.from_config(
        {**config, "recipe_dir": str(tmp_path)}, trust_user_code=True
    )
    assert session(1) == "x"
    assert session.bundle_root == tmp_path.resolve()


def transcript(session):
    return session(np.ones(2, dtype=np.float32))


def test_a_packed_model_gives_the_same_result_as_its_experiment(recipe):
    expected = transcript(InferenceSession.from_config(recipe.inference))
    session = InferenceSession.from_pretrained(str(recipe.pack()))
    assert transcript(session) == expected == {"hyp": "two", "idx": 0, "utt_id": None}
    assert session.bundle_root == recipe.out_dir.resolve()
    assert session.bundle_metadata["strategy"] == "espnet3"
    assert session.artifacts["inference_config"] == str(recipe.out_dir / "conf" / "inference.yaml")


def test_the_examples_of_the_interface_run_as_they_are_written(recipe, tmp_path, monkeypatch):
    (tmp_path / "espnet").mkdir()
    recipe.pack().rename(tmp_path / "espnet" / "some_model")
    monkeypatch.chdir(tmp_path)
    audio_array = audio_a = audio_b = np.ones(2, dtype=np.float32)
    session = InferenceSession.from_pretrained(
        "espnet/some_model",
        trust_user_code=True,
    )
    result = session(audio_array)
    batch = session.forward_batch([audio_a, audio_b])
    assert [item["hyp"] for item in (result, *batch)] == ["two"] * 3
    assert [item["idx"] for item in batch] == [0, 1]


def test_a_bundle_can_be_moved_and_loaded_from_anywhere(recipe, tmp_path, monkeypatch):
    moved = tmp_path / "moved" / "bundle"
    moved.parent.mkdir()
    recipe.pack().rename(moved)
    recipe.root.rename(tmp_path / "gone")
    monkeypatch.chdir(tmp_path)
    session = InferenceSession.from_pretrained("moved/bundle")
    assert transcript(session)["hyp"] == "two"


def test_a_bundle_in_a_hub_cache_is_found_through_its_links(recipe, tmp_path):
    cache = tmp_path / "hub" / "models--o--n"
    snapshot = cache / "snapshots" / ("a" * 40)
    write(recipe.root / "conf" / "settings.yaml", {"key": "speech"})
    recipe.inference["input_key"] = "${load_yaml:settings.yaml,key}"
    packed = recipe.pack()
    for number, path in enumerate(sorted(p for p in packed.rglob("*") if p.is_file())):
        blob = cache / "blobs" / str(number)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(path.read_bytes())
        link = snapshot / path.relative_to(packed)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    artifacts = {"inference_config": str(snapshot / "conf" / "inference.yaml")}
    session = InferenceSession.from_artifacts(artifacts)
    assert session.bundle_root == snapshot.resolve()
    assert session.input_key == "speech"
    assert transcript(session)["hyp"] == "two"


def test_arguments_of_the_caller_override_the_model_section(recipe):
    session = InferenceSession.from_pretrained(
        str(recipe.pack()), shout=True, prefer_model_batch=True
    )
    assert transcript(session)["hyp"] == "TWO"
    assert session.prefer_model_batch


def test_a_local_archive_is_unpacked_into_the_cache(recipe, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("ESPNET3_CACHE", str(tmp_path / "cache"))
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", recipe.pack())
    for _ in range(2):
        session = InferenceSession.from_pretrained(archive)
        assert transcript(session)["hyp"] == "two"
    assert session.bundle_root.is_relative_to(tmp_path / "cache")


def test_an_archive_may_hold_the_folder_rather_than_its_files(recipe, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("ESPNET3_CACHE", str(tmp_path / "cache"))
    out = recipe.pack()
    archive = shutil.make_archive(str(tmp_path / "model"), "gztar", out.parent, out.name)
    assert transcript(InferenceSession.from_pretrained(archive))["hyp"] == "two"


def test_a_folder_with_nothing_but_an_inference_config_is_a_bundle(tmp_path):
    model = {**ECHO, "place": "${recipe_dir}/weights.bin"}
    write(tmp_path / "conf" / "inference.yaml", {"recipe_dir": ".", "model": model})
    write(tmp_path / "weights.bin", b"x")
    session = InferenceSession.from_pretrained(str(tmp_path))
    assert session.bundle_root == tmp_path.resolve()
    assert session.model.options == {"place": str(tmp_path / "weights.bin")}


def test_a_chosen_downloader_is_used_as_it_is(tmp_path, monkeypatch):
    code = "def build(data, model_output, idx):\n    return ('own', data['speech'])\n"
    artifacts = bundle(
        tmp_path,
        inference={"model": ECHO, "output_fn": "src.inference.build", "device": "cpu"},
        files=[("src/__init__.py", ""), ("src/inference.py", code)],
    )
    monkeypatch.setattr(Downloader, "artifacts", artifacts)
    named = f"{__name__}.Downloader"
    with pytest.raises(
        ValueError, match=r"references bundled user code(.|\n)*trust_user_code=True"
    ):
        InferenceSession.from_pretrained("some/tag", downloader_class=named)
    assert "src" not in sys.modules
    session = InferenceSession.from_pretrained(
        "some/tag", downloader_class=named, trust_user_code=True
    )
    assert session(3) == ("own", 3)
    assert session.bundle_root == tmp_path.resolve()
    assert session.artifacts["tag"] == "some/tag"


def test_the_default_name_can_be_served_by_another_class(tmp_path, monkeypatch):
    monkeypatch.setattr(Downloader, "artifacts", bundle(tmp_path, inference={"model": ECHO}))
    package = SimpleNamespace(ModelDownloader=Downloader)
    monkeypatch.setitem(sys.modules, "espnet_model_zoo", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", package)
    assert InferenceSession.from_pretrained("any name").artifacts["tag"] == "any name"


def test_names_of_the_zoo_need_the_zoo(monkeypatch):
    monkeypatch.setitem(sys.modules, "espnet_model_zoo", None)
    with pytest.raises(ImportError, match="espnet_model_zoo"):
        InferenceSession.from_pretrained("no bundle here")


def test_a_backend_class_alone_does_everything():
    session = InferenceSession.from_pretrained(
        "tag", backend_class=OwnLoader, enable_user_code=False, beam=3, input_key="x"
    )
    assert session.model.options == {"model_tag": "tag", "beam": 3}
    assert session.input_key == "x"
    with pytest.raises(RuntimeError, match="from_pretrained"):
        InferenceSession.from_pretrained("tag", backend_class=dict, enable_user_code=False)


def test_a_backend_class_gets_the_artifacts_but_not_our_own_configs(tmp_path):
    artifacts = bundle(tmp_path, inference={"model": ECHO})
    artifacts["asr_model_file"] = str(write(tmp_path / "m.pth", "m"))
    session = InferenceSession.from_artifacts(artifacts, backend_class=OwnLoader, beam=3)
    assert session.model.options == {
        "model_tag": None,
        "asr_model_file": artifacts["asr_model_file"],
        "beam": 3,
    }
    plain = InferenceSession.from_artifacts(artifacts, backend_class=f"{BACKENDS}.Echo")
    assert plain.model.options == {"asr_model_file": artifacts["asr_model_file"]}


def test_artifacts_that_say_nothing_need_a_backend_class(tmp_path):
    with pytest.raises(MissingConfigError, match="inference config(.|\n)*backend_class"):
        InferenceSession.from_artifacts(bundle(tmp_path))


def test_metadata_that_is_no_mapping_is_an_error(tmp_path):
    artifacts = bundle(tmp_path, inference={"model": ECHO})
    write(tmp_path / "meta.yaml", "- a\n")
    with pytest.raises(RuntimeError, match="not a YAML mapping"):
        InferenceSession.from_pretrained(str(tmp_path))
    with pytest.raises(RuntimeError, match="not a YAML mapping"):
        InferenceSession.from_artifacts({**artifacts, "count": 3})


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    bundle(tmp_path, inference={"model": ECHO}, meta={"schema_version": 99})
    with pytest.raises(ValueError, match="upgrade"):
        InferenceSession.from_pretrained(str(tmp_path))


@pytest.mark.parametrize("kind", ["Loading", "Forgetful"])
def test_a_model_must_run_with_the_weights_of_its_bundle(tmp_path, kind):
    state = {"weight": torch.randn(2, 2), "bias": torch.randn(2)}
    export_safetensors(state, tmp_path / "m.safetensors")
    model = {"_target_": f"{__name__}.{kind}", "model_file": "${recipe_dir}/m.safetensors"}
    meta = {
        "files": {"model_file": "m.safetensors"},
        "weights": {"model_file": {"format": "safetensors"}},
    }
    bundle(tmp_path, inference={"model": model}, meta=meta)
    if kind == "Forgetful":
        with pytest.raises(BundleError, match="did not load these weights"):
            InferenceSession.from_pretrained(str(tmp_path))
    else:
        session = InferenceSession.from_pretrained(str(tmp_path))
        assert torch.equal(session(torch.zeros(2)), state["bias"])


def test_a_call_records_no_gradients():
    layer = torch.nn.Linear(1, 1)
    session = InferenceSession(lambda speech: layer(speech))
    assert session(torch.ones(1)).is_inference()


def test_an_older_format_is_read_with_one_warning(tmp_path, caplog):
    bundle(tmp_path, inference={"model": ECHO}, meta={"schema_version": None, "future": 1})
    assert InferenceSession.from_packed(tmp_path)(1) == {"speech": 1}
    warned = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len({text for text in warned if "has no schema_version" in text}) == 1
    assert len(warned) == 1


def test_wishes_about_a_fetched_model_reach_its_session(tmp_path):
    bundle(tmp_path, inference={"model": ECHO})
    session = InferenceSession.from_pretrained(
        str(tmp_path), output_fn_path=f"{__name__}.with_idx", input_key="audio"
    )
    assert session(1, idx=3) == ({"audio": 1}, {"audio": 1}, 3)


def test_trust_in_a_model_that_may_change_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Downloader, "artifacts", bundle(tmp_path, inference={"model": ECHO}))
    for tag, trust in (("o/n", False), (f"o/n@{'a' * 40}", True), ("o/n", True)):
        assert not caplog.records
        InferenceSession.from_pretrained(tag, downloader_class=Downloader, trust_user_code=trust)
    assert "pin what you have read with o/n@<commit>" in caplog.text


def test_the_inference_config_may_have_another_name(tmp_path):
    write(tmp_path / "conf" / "fast.yaml", {"model": ECHO, "input_key": "fast"})
    meta = {"inference_config_key": "fast", "yaml_files": {"fast": "conf/fast.yaml"}}
    bundle(tmp_path, inference={"model": ECHO}, meta=meta)
    assert InferenceSession.from_pretrained(str(tmp_path)).input_key == "fast"


def test_a_folder_that_is_no_bundle_is_an_error(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        InferenceSession.from_pretrained(str(tmp_path))


def test_asking_for_user_code_without_a_bundle_is_an_error():
    with pytest.raises(RuntimeError, match="unknown"):
        InferenceSession.from_artifacts(
            {"beam": 3}, backend_class=OwnLoader, enable_user_code=True, trust_user_code=True
        )


def test_importing_publication_loads_nothing_heavy():
    program = """
        import sys
        import espnet3.publication, espnet3.utils.publish_utils
        heavy = {"torch", "hydra", "huggingface_hub", "safetensors", "lightning"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_a_misspelt_keyword_names_the_one_that_was_meant():
    from espnet3.publication.session_backend import UnexpectedKeywordError, _check_keywords

    recognizer = "espnet3.systems.asr.recognizer.SpeechRecognizer"
    with pytest.raises(UnexpectedKeywordError, match='did you mean "trust_user_code"'):
        _check_keywords(recognizer, {"truts_user_code": True})
    with pytest.raises(TypeError, match='did you mean "beam_size"'):
        _check_keywords(recognizer, {"beam_siez": 3})
    _check_keywords(recognizer, {"beam_size": 3})
    _check_keywords("somewhere.Else", {"anything": 3})


@pytest.mark.parametrize("flag", ["trust_user_code", "enable_user_code"])
@pytest.mark.parametrize("value", ["false", "", 1, 0])
@pytest.mark.parametrize(
    "load", ["from_pretrained", "from_packed", "from_artifacts", "from_config"]
)
def test_only_a_real_flag_decides_about_code(load, flag, value, tmp_path):
    (tmp_path / "meta.yaml").write_text("{damaged")
    source = {"from_artifacts": {"meta": str(tmp_path / "meta.yaml")}, "from_config": {}}
    with pytest.raises(TypeError, match=f"{flag} = {value!r}: must be True") as caught:
        getattr(InferenceSession, load)(source.get(load, str(tmp_path)), **{flag: value})
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize("together", [False, True])
def test_an_error_of_a_batch_names_its_sample(together):
    class Model:
        sample_rate = 8000

        def __call__(self, speech):
            if isinstance(speech, list) or len(speech) < 2:
                raise DataError("too short")
            return len(speech)

    session = InferenceSession(Model(), prefer_model_batch=together)
    good, nan = np.zeros(3), np.array([0.0, np.nan])
    with pytest.raises(DataError, match=r"^sample 1: samples must be finite, but item 1 is nan"):
        session.forward_batch([good, nan])
    with pytest.raises(DataError, match=r"^sample 2 \('c'\): too short"):
        session.forward_batch([good, good, np.zeros(1)], indices=["a", "b", "c"])
    with pytest.raises(KeyError, match=r"^sample 1: Input key 'speech' is not"):
        session.forward_batch([good, {"spech": good}])
    with pytest.raises(FileNotFoundError) as caught:
        session.forward_batch([good, "/gone.wav"])
    assert caught.value.__notes__ == ["in sample 1"]
    with pytest.raises(DataError, match=r"^too short"):
        session(np.zeros(1))


@pytest.mark.parametrize("kept", [{}, {"device": "cpu"}])
def test_the_device_of_the_caller_wins_and_must_exist(kept, tmp_path):
    artifacts = bundle(tmp_path, inference={"model": ECHO | {"device": "cpu"}, **kept})
    session = InferenceSession.from_artifacts(artifacts, trust_user_code=True, device="meta")
    assert session.model.device == "meta"
    model = {"_target_": "espnet3.systems.asr.recognizer.SpeechRecognizer", "model_file": "x"}
    artifacts = bundle(tmp_path, inference={"model": model, **kept})
    for wrong, hint in (("cuudaa", 'did you mean "cuda"'), ("cuda:99", r"CUDA device\(s\); cpu")):
        with pytest.raises(ConfigError, match=f"(?s)^device = '{wrong}': is not a.*{hint}"):
            InferenceSession.from_artifacts(artifacts, device=wrong)


def test_an_error_about_a_value_of_a_bundle_names_its_file(tmp_path):
    recognizer = {"_target_": "espnet3.systems.asr.recognizer.SpeechRecognizer", "model_file": "x"}
    file = tmp_path / "conf" / "inference.yaml"
    wrong = {**recognizer, "train_config": "y", "decode": "ctc_gredy"}
    artifacts = bundle(tmp_path, inference={"model": wrong})
    with pytest.raises(ConfigError) as caught:
        InferenceSession.from_artifacts(artifacts)
    assert str(caught.value).startswith(f"{file}: model.decode = 'ctc_gredy': is not a known")
    assert 'did you mean "ctc_greedy"' in str(caught.value)
    # The same value from the caller is none of the bundle.
    with pytest.raises(ConfigError, match=r"^decode = 'ctc_beam'"):
        InferenceSession.from_artifacts(artifacts, decode="ctc_beam")
    path = "espnet3.systems.asr.outputs.build_outptu"
    artifacts = bundle(tmp_path, inference={"model": recognizer, "output_fn": path})
    with pytest.raises(ConfigError, match="build_output") as caught:
        InferenceSession.from_artifacts(artifacts)
    assert str(caught.value).startswith(f"{file}: output_fn = {path!r}")
    artifacts = bundle(tmp_path, inference={"model": {**recognizer, "beam_siez": 3}})
    with pytest.raises(BundleError, match=f"^{file}: gives"):
        InferenceSession.from_artifacts(artifacts)


def test_an_error_about_another_file_of_a_bundle_does_not_blame_its_inference_config(tmp_path):
    training = {"model": {"_target_": "espnet3.systems.asr.models.ASRModel", "decode": "x"}}
    artifacts = bundle(
        tmp_path,
        inference={
            "model": {
                "_target_": "espnet3.systems.asr.recognizer.SpeechRecognizer",
                "train_config": "${recipe_dir}/training.yaml",
                "model_file": "x",
            }
        },
        files=[("training.yaml", training)],
    )
    with pytest.raises(Exception) as caught:  # noqa: PT011
        InferenceSession.from_artifacts(artifacts)
    assert "inference.yaml" not in str(caught.value)


def test_an_empty_inference_config_is_called_damaged(tmp_path):
    artifacts = bundle(tmp_path, inference={})
    file = tmp_path / "conf" / "inference.yaml"
    file.write_text("")
    with pytest.raises(MissingConfigError, match=f"^{file}: the inference config is empty") as e:
        InferenceSession.from_artifacts(artifacts)
    assert "backend_class" in str(e.value)


def test_a_model_tag_is_a_text():
    with pytest.raises(TypeError, match="model_tag = None: must be a text or a path"):
        InferenceSession.from_pretrained(None)


def test_a_path_that_does_not_exist_is_answered_with_its_neighbours(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exp/training/model_pack").mkdir(parents=True)
    for tag in ("exp/training/model_pac", "./exp/training/model_pac"):
        with pytest.raises(BundleError, match='(?s)no folder.*did you mean "model_pack"') as caught:
            InferenceSession.from_pretrained(tag)
        assert "espnet2" not in str(caught.value)
    with pytest.raises(BundleError, match="a Hub id owner/name"):
        InferenceSession.from_pretrained("/nowhere/at/all")


def test_an_argument_that_a_model_of_ours_does_not_take_is_named(tmp_path):
    model = {"_target_": "espnet3.systems.asr.recognizer.SpeechRecognizer", "beam_siez": 3}
    artifacts = bundle(tmp_path, inference={"model": model, "input_key": "speech"})
    with pytest.raises(BundleError, match=r"model.'beam_siez'\n  did you mean \"beam_size\""):
        InferenceSession.from_artifacts(artifacts)


def test_a_complete_bundle_is_loaded_from_its_folder(recipe):
    out = recipe.pack()
    session = InferenceSession.from_packed(out, shout=True, prefer_model_batch=True)
    assert transcript(session)["hyp"] == "TWO"
    assert session.prefer_model_batch


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        (".", "is a file, but no archive of a bundle"),
        ("..", "no folder or archive"),
        ("meta.yaml", "has no meta.yaml"),
        ("conf/inference.yaml", "inference config conf/inference.yaml does not exist"),
        ("an entry", "does not list yaml_files.inference_config"),
    ],
)
def test_an_incomplete_bundle_is_a_missing_file(recipe, lacks, message):
    out = recipe.pack()
    if lacks == "an entry":
        write(out / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1})
    elif lacks == ".":
        out = out / "README.md"
    elif lacks == "..":
        out = out / "elsewhere"
    else:
        (out / lacks).unlink()
    with pytest.raises(FileNotFoundError, match=message) as caught:
        InferenceSession.from_packed(out)
    assert isinstance(caught.value, BundleError)


def test_a_class_of_ones_own_is_built_by_the_same_ways():
    class Own(InferenceSession):
        def forward(self, sample, *, idx=0):
            return ("own", super().forward(sample, idx=idx))

    session = Own.from_config({"model": ECHO, "device": "cpu"})
    assert session(1) == ("own", {"speech": 1})


@pytest.mark.parametrize("make", [lambda rows: rows, iter])
def test_a_batch_may_be_an_array_or_a_generator(make):
    session = InferenceSession(lambda speech: float(np.sum(speech)))
    assert session.forward_batch(make(np.ones((2, 3)))) == [3.0, 3.0]


@pytest.mark.parametrize("samples", ["text", b"bytes", {"speech": 1}])
def test_one_sample_is_no_batch(samples):
    session = InferenceSession(lambda speech: speech)
    with pytest.raises(ConfigError, match="must be a list of samples, got"):
        session.forward_batch(samples)
