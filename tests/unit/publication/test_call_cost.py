from __future__ import annotations

import pytest
import yaml

from espnet3.errors import UntrustedCodeError
from espnet3.publication import InferenceSession
from espnet3.publication.call_cost import describe_excess
from tests.unit.publication.test_asr_bundle import digits

__all__ = ["digits"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_size", 1001),
        ("beam_size", "1e9"),
        ("nbest", float("inf")),
        ("nbest", "9" * 4000),
        ("maxlenratio", 100.5),
        ("maxlenratio", -20_000),
        ("minlenratio", float("nan")),
        ("hop_length", 1),
        ("hop_length", -128),
        ("fs", "999999k"),
        ("fs", "1g"),
    ],
)
def test_endless_calls_are_found(name, value):
    assert describe_excess(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_size", 1000),
        ("beam_size", True),
        ("beam_size", None),
        ("beam_size", {"a": 10**9}),
        ("maxlenratio", -200),
        ("maxlenratio", 0.0),
        ("hop_length", 80),
        ("hop_length", "${hop}"),
        ("fs", "48k"),
        ("fs", "16k"),
        ("num_blocks", 10**9),
    ],
)
def test_ordinary_settings_and_other_keys_are_not(name, value):
    assert describe_excess(name, value) is None


def test_who_is_trusted_may_ask_for_more_and_a_caller_too(digits):
    out = digits.pack()
    (out / "manifest.json").unlink()
    path = out / "conf" / "inference.yaml"
    options = {"decode": "ctc_prefix_beam", "beam_size": 5000}
    session = InferenceSession.from_pretrained(str(out), **options)
    assert session.model.beam_size == 5000
    config = yaml.safe_load(path.read_text())
    config["model"] |= options
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(UntrustedCodeError, match=r"model\.beam_size = '5000'"):
        InferenceSession.from_pretrained(str(out))
    trusted = InferenceSession.from_pretrained(str(out), trust_user_code=True)
    assert trusted.model.beam_size == 5000
