from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.publication.scrub import HostPaths, redact, redact_text, scan_text

SECRETS = [
    ("Hugging Face token", "hf_" + "aB3" * 10),
    ("AWS access key", "AKIA" + "A1" * 8),
    ("GitHub token", "ghp_" + "a1" * 18),
    ("GitHub token", "github_pat_" + "a1" * 18),
    ("GitLab token", "glpat-" + "a1" * 10),
    ("Slack token", "xoxb-" + "1234567890-abc"),
    ("JSON web token", "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK"),
    ("private key", "-----BEGIN RSA PRIVATE KEY-----"),
    ("password in a URL", "postgres://me:secret@host/db"),
]


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "hf_token",
        "wandb_api_key",
        "password",
        "db_password",
        "aws_secret",
        "secret_key",
        "access_key",
        "client_credentials",
        "apikey",
        "auth_token",
    ],
)
def test_secret_keys_are_redacted(key):
    assert redact({"a": [{key: "value"}]}) == {"a": [{key: "***"}]}


@pytest.mark.parametrize(
    "config",
    [
        {"token_list": "tokens.txt", "token_type": "bpe", "tokenizer": {"save_path": "x"}},
        {"num_tokens": 5, "keyboard": "x", "secretary": "y", "monkey": "z"},
        {"token": None, "password": "", "use_auth_token": True},
    ],
)
def test_other_keys_are_left_alone(config):
    assert redact(config) == config


@pytest.mark.parametrize(("kind", "secret"), SECRETS)
def test_secret_values_are_found_and_redacted_anywhere(kind, secret):
    text = f"first line\nvalue = '{secret}' # note\n"
    assert [(f.line, f.kind) for f in scan_text(text)] == [(2, kind)]
    assert secret not in redact_text(text)
    assert secret not in str(redact({"note": f"see {secret}"}))


def test_paths_of_this_machine_are_found_and_shortened(tmp_path):
    paths = HostPaths(tmp_path)
    text = f"{tmp_path}/exp and {Path.home()}/x but not {tmp_path}2/y or /x{tmp_path}"
    assert paths.shorten(text) == f"./exp and ~/x but not {tmp_path}2/y or /x{tmp_path}"
    assert [f.kind for f in scan_text(f"a\nb {tmp_path}.\n", paths)] == ["path of this machine"]


fragments = st.sampled_from([*(secret for _, secret in SECRETS), "hf_", "://", "a", ":", "@", " "])


@given(st.lists(fragments, max_size=6).map("".join))
def test_redaction_is_stable(text):
    assert redact_text(redact_text(text)) == redact_text(text)
