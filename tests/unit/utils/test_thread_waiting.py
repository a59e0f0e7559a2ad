from __future__ import annotations

import os
import sys

import pytest

from espnet3.utils.thread_waiting import shorten_spinning

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that monkeypatch removes what the test leaves
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def test_threads_spin_briefly_unless_the_user_says_otherwise(monkeypatch):
    shorten_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


@pytest.mark.parametrize("name", NAMES)
def test_the_choice_of_the_user_stays(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    shorten_spinning()
    assert {n: os.environ[n] for n in NAMES if n in os.environ} == {name: "x"}


def test_nothing_is_set_too_late(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    shorten_spinning()
    assert "GOMP_SPINCOUNT" not in os.environ
