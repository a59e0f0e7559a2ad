"""What of ESPnet2 a bundle that nobody vouches for may name."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import pytest

from espnet3.errors import MissingDependencyError, UntrustedCodeError, UntrustedTargetError
from espnet3.publication import InferenceSession
from espnet3.publication.bundle_loading import _guard
from espnet3.publication.bundle_scan import scan_bundle
from espnet3.publication.espnet2_backends import BACKENDS
from espnet3.publication.espnet2_parts import TASK_PARTS
from espnet3.publication.security import allow_targets, bundle_policy
from tests.unit.publication.hostile_bundles import SPEECH2TEXT, espnet2, target


def make(tmp_path, arguments=None, backend=SPEECH2TEXT, **training):
    espnet2(arguments, backend, **training)(tmp_path / "bundle", tmp_path / "trace")
    return tmp_path / "bundle"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_listed_class_is_not_refused_but_asks_for_espnet2(tmp_path, backend):
    root = make(tmp_path, backend=backend, decoder="rnn")
    with pytest.raises(MissingDependencyError, match=r'pip install "espnet3\[espnet2\]"'):
        InferenceSession.from_pretrained(str(root))


@pytest.mark.parametrize(
    ("key", "name"),
    [(key, name) for key, names in TASK_PARTS["asr"].items() for name in sorted(names)],
)
def test_a_checked_part_is_let_through(tmp_path, key, name):
    root = make(tmp_path, **{key: name})
    with pytest.raises(MissingDependencyError):
        InferenceSession.from_pretrained(str(root))


@pytest.mark.parametrize(
    "arguments",
    [
        {"beam_size": 3, "ctc_weight": 0.3, "streaming": True, "nbest": 2},
        {"device": "cuda:1", "dtype": "float16", "token_type": "bpe", "penalty": None},
        {"transducer_conf": {"search_type": "default", "score_norm": True, "nbest": 1}},
        {"ngram_file": None, "enh_s2t_task": False, "hugging_face_decoder_conf": {}},
    ],
)
def test_options_of_the_search_and_those_that_are_off_are_let_through(tmp_path, arguments):
    root = make(tmp_path, arguments)
    with pytest.raises(MissingDependencyError):
        InferenceSession.from_pretrained(str(root))


def test_the_class_of_the_caller_reads_no_unchecked_training_config(tmp_path):
    root = make(tmp_path, encoder="beats")
    (root / "conf" / "inference.yaml").unlink()
    files = {"asr_train_config": "config.yaml", "asr_model_file": "m.pth"}
    artifacts = {name: str(root / file) for name, file in files.items()}
    with pytest.raises(UntrustedCodeError, match="beats"):
        InferenceSession.from_artifacts(artifacts, backend_class=SPEECH2TEXT)
    # Of a class that is not on the list, too, what is known to be harmful is refused.
    with pytest.raises(UntrustedCodeError, match="beats"):
        InferenceSession.from_artifacts(artifacts, backend_class="espnet2.bin.x_inference.X")
    (root / "meta.yaml").unlink()
    with pytest.raises(MissingDependencyError):
        InferenceSession.from_artifacts(artifacts, backend_class=SPEECH2TEXT)


def test_a_class_that_is_not_listed_is_refused_with_the_reason_until_it_is_allowed(tmp_path):
    name = "espnet2.bin.tts_inference.Text2Speech"
    target(name)(tmp_path / "bundle", tmp_path / "trace")
    with pytest.raises(UntrustedTargetError, match="vocoder") as caught:
        InferenceSession.from_pretrained(str(tmp_path / "bundle"))
    assert "trust_user_code=True" in str(caught.value)
    with allow_targets(name), pytest.raises(MissingDependencyError):
        InferenceSession.from_pretrained(str(tmp_path / "bundle"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scan_without_espnet2_has_nothing_against_a_listed_class(tmp_path, backend):
    root = make(tmp_path, backend=backend, decoder="rnn")
    assert not [found for found in scan_bundle(root) if found.kind in ("config", "trust")]


def test_nltk_downloads_again_after_two_threads_loaded_bundles(tmp_path, monkeypatch):
    nltk = SimpleNamespace(download=lambda name: f"downloaded {name}")
    monkeypatch.setitem(sys.modules, "nltk", nltk)
    policy = bundle_policy(tmp_path, model={"_target_": SPEECH2TEXT})
    inside: list[object] = []

    def load():
        with _guard(tmp_path, policy):
            inside.append(nltk.download("cmudict"))

    with _guard(tmp_path, policy):
        other = threading.Thread(target=load)
        other.start()
        time.sleep(0.3)
    other.join()
    assert inside == [False]
    assert nltk.download("cmudict") == "downloaded cmudict"
