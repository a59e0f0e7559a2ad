from __future__ import annotations

import pytest

from espnet3.utils.placeholders import find_placeholders, is_placeholder


@pytest.mark.parametrize(
    "text",
    [
        *("/path/to/your/dataset", "path/to/model.pth", "yourname/your-model-repo"),
        *("your-name/your-model", "your-name/fsdd_asr", "data/your_corpus", "YOUR_NAME/x"),
    ],
)
def test_values_that_wait_for_the_user(text):
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    ["/data/librispeech", "data/yourtts", "espnet/model", "./exp/my_path/tokens.txt", "", None, 3],
)
def test_values_of_a_user(text):
    assert not is_placeholder(text)


def test_they_are_found_in_containers():
    found = find_placeholders({"a": ["x", "/path/to/x"], "b": {"c": "your-name/m"}}, "root")
    assert list(found) == [("root.a.1", "/path/to/x"), ("root.b.c", "your-name/m")]
    assert list(find_placeholders("/path/to/x", "key")) == [("key", "/path/to/x")]
