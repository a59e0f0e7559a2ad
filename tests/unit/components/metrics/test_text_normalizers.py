from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.metrics.text_normalizers import Step, TextNormalizer, build_normalizer


def shout(text: str) -> str:
    return text.upper()


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (None, " Größe,  ﬁ ", " Größe,  ﬁ "),
        ("lowercase", "İSTANBUL Ab", "i̇stanbul ab"),
        ("nfkc", "ＡｂＣ ﬁ", "AbC fi"),
        ("no_punctuation", "Don't “co-op”, rock 'n' roll - 3%", "Don't co op rock n roll 3"),
        ("no_punctuation", "it’s 漢字。", "it's 漢字"),
        ("single_spaces", " a \t b\u3000c ", "a b c"),
        ("no_spaces", "漢 字 か\u3000な", "漢字かな"),
        (["nfkc", "lowercase"], "Ｅ", "e"),
        (f"{__name__}.shout", "abc", "ABC"),
    ],
)
def test_golden_texts(names, text, expected):
    assert build_normalizer(names)(text) == expected


@given(st.text(max_size=30))
def test_normalised_texts_stay_as_they_are(text):
    normalizer = build_normalizer(["nfkc", "lowercase", "no_punctuation"])
    once = normalizer(text)
    assert build_normalizer(["no_punctuation"])(once) == once
    assert once == " ".join(once.split())


def test_names_versions_and_hashes_do_not_drift():
    described = {
        name: build_normalizer(name).describe()
        for name in (None, "nfkc", "lowercase", "no_punctuation", "single_spaces", "no_spaces")
    }
    assert {d["name"]: d["hash"][:8] for d in described.values()} == GOLDEN
    assert {d["version"] for d in described.values()} == {"1"}
    assert build_normalizer(["nfkc", "lowercase"]).describe()["name"] == "nfkc+lowercase"


GOLDEN = {
    "none": "b946bfc1",
    "nfkc": "34413679",
    "lowercase": "9b6f53fb",
    "no_punctuation": "7fbc5367",
    "single_spaces": "c1b7f52a",
    "no_spaces": "9733ee15",
}


def test_the_hash_tells_apart_order_version_and_what_is_done():
    steps = [Step(name="x", version="1", function=str.lower)]
    hashes = {
        TextNormalizer(variant).describe()["hash"]
        for variant in (
            steps,
            [Step(name="x", version="2", function=str.lower)],
            [Step(name="x", version="1", function=str.upper)],
            [],
        )
    }
    assert len(hashes) == 4
    both = [build_normalizer(names).describe()["hash"] for names in (["nfkc", "lowercase"],) * 2]
    assert both[0] == both[1]


def test_a_function_of_ones_own_has_the_digest_of_its_source_as_version():
    described = build_normalizer(f"{__name__}.shout").describe()
    assert described["name"].endswith(".shout")
    assert len(described["version"]) == 12


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lowercas", r"normalizer = 'lowercas'.*\n.*lowercase"),
        ("xyz", r"there are lowercase, nfkc"),
        (f"{__name__}.GOLDEN", "must be a function"),
        (f"{__name__}.nothing", "nothing"),
        ("builtins.len", r"normalizer = 'builtins.len': returned \d+, which is a int and no text"),
    ],
)
def test_what_is_no_normaliser_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        build_normalizer(name)
