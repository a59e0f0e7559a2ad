from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.publication.scrub import HostPaths, redact, redact_text, scan_file, scan_text

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


TOKEN = SECRETS[0][1]
LONG = "a line without anything of note\n" * 300_000
FILES = {
    "notebook.ipynb": (f'{{"cells": [\n"x = {TOKEN}"]}}'.encode(), 2),
    "latin.txt": (f"caf\xe9\n{TOKEN}".encode("latin-1"), 2),
    "utf16.txt": (f"one\ntwo\n{TOKEN}\n".encode("utf-16"), 3),
    "utf16.be": (f"\ufeff{TOKEN}\n".encode("utf-16-be"), 1),
    "utf8_with_mark.csv": (f"\ufeff{TOKEN}".encode(), 1),
    "large.txt": (f"{LONG}{TOKEN}\n".encode(), 300_001),
    "one_line.json": (b"[" + b"1, " * 2**19 + f'"{TOKEN}"]'.encode(), 1),
    "cut.json": (b"x" * (2**20 - 9) + f" {TOKEN} ".encode() + b"x" * 2**20, 1),
    "late_latin.log": (b"a\n" * 2**14 + f"\xe9 {TOKEN}".encode("latin-1"), 2**14 + 1),
    "windows.html": (f"a\r\nb\r\n{TOKEN}\r\n".encode(), 3),
    ".env": (f"HF_TOKEN={TOKEN}\n".encode(), 1),
    "no_suffix": (TOKEN.encode(), 1),
}


@pytest.mark.parametrize("name", FILES)
def test_texts_are_searched_whatever_they_are_called_and_encoded_in(name, tmp_path):
    content, line = FILES[name]
    (tmp_path / name).write_bytes(content)
    found = [(f.line, f.kind) for f in scan_file(tmp_path / name)]
    assert found == [(line, "Hugging Face token")]


def test_of_other_files_only_the_first_bytes_are_read(tmp_path, monkeypatch):
    path = tmp_path / "weights.bin"
    with path.open("wb") as stream:
        stream.write(bytes(100))
        stream.seek(2**40)  # takes no space; reading it would take hours
        stream.write(TOKEN.encode())
    assert list(scan_file(path)) == []


def test_home_folders_of_others_are_found_on_request(tmp_path):
    path = tmp_path / "wav.scp"
    path.write_text("a /home/ada/a.wav\nb s3://x/home/b.wav\nc C:\\Users\\ada\\c.wav\n")
    assert list(scan_file(path)) == []
    found = [(f.line, f.kind) for f in scan_file(path, homes=True)]
    assert found == [(1, "somebody's home folder"), (3, "somebody's home folder")]


def test_a_long_line_without_secrets_is_searched_in_no_time(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a.b-" * 2**19 + "://")
    assert list(scan_file(path)) == []
