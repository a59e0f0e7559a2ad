from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.utils.redaction import (
    redact_argument,
    redact_config,
    redact_environment,
    redact_message,
    redact_text,
)


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "WANDB_API_KEY", "MY_SECRET", "DB_PASSWORD", "SLURM_JWT", "AWS_CREDENTIAL"]
)
def test_secret_environment_variables_are_masked(name):
    assert redact_environment(name, "value") == "***"


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MONKEYPATCH", "TOKENIZERS_PARALLELISM"])
def test_other_environment_variables_are_kept(name):
    assert redact_environment(name, "value") == "value"


def test_settings_that_only_sound_like_secrets_survive():
    config = {"input_key": "speech", "unk_token": "<unk>", "token_list": ["a", "b"], "key": 3}
    assert redact_config(config) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token_list", "./data/tokenizer/tokens.txt"),
        ("token_type", "sentencepiece_unigram_5000"),
        ("ref_key", "reference_transcription"),
        ("key_file", "/home/Me/keys/key_2026.json"),
    ],
)
def test_paths_and_names_of_fields_survive(key, value):
    assert redact_config({key: value}) == {key: value}


@pytest.mark.parametrize("key", ["apiToken", "access_key", "key", "access_key_id", "token_value"])
def test_a_token_is_masked_under_any_name_that_ends_like_one(key):
    assert redact_config({key: "AKIAIOSFODNN7EXAMPLE"}) == {key: "***"}


def test_access_tokens_in_a_configuration_are_masked():
    config = {"hub": {"hf_token": "hf_abcdefghijklmnop1234"}, "wandb": [{"password": "x"}]}
    assert redact_config(config) == {"hub": {"hf_token": "***"}, "wandb": [{"password": "***"}]}


def test_a_secret_on_the_command_line_is_masked():
    assert redact_argument("publication.hub.password=abc") == "publication.hub.password=***"
    assert redact_argument("training.trainer.max_epochs=3") == "training.trainer.max_epochs=3"


def test_urls_lose_their_user():
    assert redact_text("at https://me:pw@host/x and ssh://h/y") == "at https://host/x and ssh://h/y"


@given(st.recursive(st.integers() | st.booleans() | st.none(), st.lists))
def test_values_without_text_are_never_changed(value):
    assert redact_config({"size": value}) == {"size": value}


@pytest.mark.parametrize(
    "config",
    [
        {"password": 123456},
        {"passwords": ["x", "y"]},
        {"credentials": {"user": "x", "pin": {"code": 7}}},
    ],
)
def test_everything_below_a_secret_name_is_masked(config):
    masked = str(redact_config(config))
    assert not any(secret in masked for secret in ("123456", "'x'", "'y'", "7"))
    built = {"credentials": {"_target_": "cloud.Login", "user": None}}
    assert redact_config(built) == built


@pytest.mark.parametrize("secret", ["password: hunter2", "api_token: abcdefghijklmnop0123"])
def test_a_secret_inside_a_mapping_on_the_command_line_is_masked(secret):
    shown = redact_argument(f"training.logger={{name: a, {secret}}}")
    assert shown == f"training.logger={{name: a, {secret.partition(':')[0]}: '***'}}"
    assert redact_argument(f"training.logger={{name: a, {secret}") == "training.logger=***"
    assert redact_argument("training.x={a: [1,2]}") == "training.x={a: [1,2]}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer hf_abcdefGHIJ1234", "Authorization: Bearer ***"),
        ("https://h/?token=ABCDEF0123456789xyz&x=1", "https://h/?token=***&x=1"),
        ("HF_TOKEN=hf_ABCDEFGHIJ0123456789 rejected", "HF_TOKEN=*** rejected"),
        ('api_token = "Abcdef0123456789"', "api_token = ***"),
        ("password=hunter2: wrong", "password=***: wrong"),
        ("{'passwd': 'a b'}", "{'passwd': ***}"),
        ("ftp://me:pw@host/x: 530", "ftp://host/x: 530"),
    ],
)
def test_secrets_in_messages_are_masked(text, expected):
    assert redact_message(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "    sorted(rows, key=lambda row: row[1])",
        "KeyError: \"Input key 'speech'\"",
        "RuntimeError: unk_token: <unk> is no token",
        "ValueError: token_type=bpe",
        'File "x.py", line 3, in f',
    ],
)
def test_messages_without_secrets_are_left_alone(text):
    assert redact_message(text) == text
