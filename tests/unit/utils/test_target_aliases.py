from __future__ import annotations

import logging

import pytest

from espnet3.components.data.collate import CommonCollateFn
from espnet3.errors import MissingDependencyError
from espnet3.utils import target_aliases
from espnet3.utils.espnet2_bridge import quiet_import
from espnet3.utils.import_utils import import_object
from espnet3.utils.instantiate import instantiate_config
from espnet3.utils.source_signatures import find_signature
from espnet3.utils.target_aliases import ESPNET2_ALIASES, resolve_alias, with_aliases

COLLATE = "espnet2.train.collate_fn.CommonCollateFn"


@pytest.fixture(autouse=True)
def _without_espnet2(monkeypatch):
    monkeypatch.setattr(target_aliases, "is_espnet2_installed", lambda: False)
    target_aliases._report.cache_clear()


@pytest.mark.parametrize("target", ESPNET2_ALIASES)
def test_every_alias_leads_to_a_documented_object(target):
    assert import_object(target).__doc__


def test_a_replacement_is_logged_once(caplog):
    with caplog.at_level(logging.INFO):
        assert import_object(COLLATE) is CommonCollateFn
        import_object(COLLATE)
    assert [r.message for r in caplog.records] == [
        f"ESPnet2 is not installed: {COLLATE} is served by"
        " espnet3.components.data.collate.CommonCollateFn"
    ]


def test_nested_targets_are_replaced_and_the_configuration_stays():
    config = {
        "_target_": "builtins.dict",
        "inner": {"_target_": COLLATE, "int_pad_value": -1},
        "listed": [{"_target_": COLLATE}],
    }
    built = instantiate_config(config)
    assert isinstance(built["inner"], CommonCollateFn)
    assert isinstance(built["listed"][0], CommonCollateFn)
    assert config["inner"]["_target_"] == COLLATE


def test_only_targets_are_replaced():
    node = {"_target_": COLLATE, "note": COLLATE, "pair": ({"_target_": "x.Y"}, 1)}
    assert with_aliases(node) == {**node, "_target_": ESPNET2_ALIASES[COLLATE]}


def test_an_installed_espnet2_is_used_itself(monkeypatch):
    monkeypatch.setattr(target_aliases, "is_espnet2_installed", lambda: True)
    assert all(resolve_alias(target) == target for target in ESPNET2_ALIASES)


@pytest.mark.skipif(bool(find_signature("espnet2.tasks.asr.ASRTask")), reason="has ESPnet2")
def test_another_class_of_espnet2_says_how_to_install_it():
    with pytest.raises(MissingDependencyError, match=r"(?s)Speech2Text.*espnet3\[espnet2\]"):
        import_object("espnet2.bin.asr_inference.Speech2Text")


def test_arguments_of_a_class_that_is_not_installed_are_known():
    signature = find_signature(COLLATE)
    assert signature is not None
    assert "int_pad_value" in signature.parameters


def test_what_packages_print_while_espnet2_is_imported_is_logged(capsys, caplog):
    caplog.set_level("DEBUG")
    with quiet_import("espnet2.tasks.asr"):
        print("[nltk_data] Error loading cmudict")
    with quiet_import("json"):
        print("seen")
    assert capsys.readouterr().out == "seen\n"
    assert any("nltk_data" in message for message in caplog.messages)
