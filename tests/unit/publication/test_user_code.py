from __future__ import annotations

import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from espnet3.publication import InferenceSession
from espnet3.publication.code_scope import activate
from espnet3.publication.user_code import choose_import_roots, decide, find_references
from tests.unit.publication.conftest import BACKENDS, write

REFERENCES = [("output_fn", "src.a.b")]


@pytest.mark.parametrize(
    ("enable", "trust", "references", "outcome"),
    [
        (True, False, [], "enable_user_code=True requires trust_user_code=True"),
        (True, False, REFERENCES, "enable_user_code=True requires trust_user_code=True"),
        (True, True, [], True),
        (True, True, REFERENCES, True),
        (None, False, REFERENCES, "references bundled user code"),
        (False, False, REFERENCES, "trust_user_code=True"),
        (None, True, REFERENCES, True),
        (False, True, REFERENCES, False),
        (None, True, [], False),
        (None, False, [], False),
        (False, False, [], False),
        (False, True, [], False),
    ],
)
def test_the_gate(enable, trust, references, outcome):
    if isinstance(outcome, str):
        with pytest.raises(ValueError, match=outcome):
            decide(references, enable=enable, trust=trust, source="bundle")
    else:
        assert decide(references, enable=enable, trust=trust, source="bundle") is outcome


@pytest.mark.parametrize("bad", [["/etc"], ["../other"], [""], ["a/../b"], [3], 3, {"a": 1}])
def test_import_roots_stay_in_the_bundle(bad):
    with pytest.raises(ValueError, match="inside the bundle"):
        choose_import_roots(bad, None)


def test_import_roots_come_from_the_caller_then_the_bundle():
    assert choose_import_roots(["lib"], ["code"]) == ("lib",)
    assert choose_import_roots(None, "code") == ("code",)
    assert choose_import_roots(None, None) == ("src",)


def test_references_are_dotted_paths_into_a_root():
    config = {
        "output_fn": "lib.a.b",
        "model": {
            "_target_": "other.c",
            "input": "lib",
            "note": "lib. A sentence.",
            "x": ["lib.q"],
        },
    }
    assert find_references(config, ["python/lib"]) == [
        ("output_fn", "lib.a.b"),
        ("model.x[0]", "lib.q"),
    ]


def make_bundle(root, answer, *, with_init):
    write(root / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1})
    config = {"model": {"_target_": f"{BACKENDS}.Echo"}, "output_fn": "src.inference.build"}
    write(root / "conf" / "inference.yaml", config)
    write(root / "src" / "helper.py", f"ANSWER = {answer!r}\n")
    write(
        root / "src" / "inference.py",
        "import helper\n\ndef build(data, model_output, idx):\n    return helper.ANSWER\n",
    )
    if with_init:
        write(root / "src" / "__init__.py", "")
    return {"inference_config": str(root / "conf" / "inference.yaml")}


@pytest.mark.parametrize("inits", [(True, True), (True, False), (False, True), (False, False)])
def test_two_bundles_with_the_same_module_names_keep_their_own_code(tmp_path, inits):
    sessions = [
        InferenceSession.from_artifacts(
            make_bundle(tmp_path / name, name, with_init=with_init), trust_user_code=True
        )
        for name, with_init in zip("ab", inits, strict=True)
    ]
    assert [session(1) for session in sessions] == ["a", "b"]


def make_lazy_bundle(root, answer):
    artifacts = make_bundle(root, answer, with_init=True)
    write(
        root / "src" / "inference.py",
        "def build(data, model_output, idx):\n"
        "    from src.late import ANSWER\n    import helper\n    return ANSWER, helper.ANSWER\n",
    )
    write(root / "src" / "late.py", f"ANSWER = {answer!r}\n")
    return artifacts


def test_what_is_imported_only_when_it_is_needed_comes_from_the_right_bundle(tmp_path):
    load = InferenceSession.from_artifacts
    made = [make_lazy_bundle(tmp_path / name, name) for name in "ab"]
    first, second, again = [load(made[i], trust_user_code=True) for i in (0, 1, 0)]
    for _ in range(2):
        assert first(1) == again(1) == ("a", "a")
        assert second(1) == ("b", "b")

    def nested(speech):
        inner = first(speech)
        from src.late import ANSWER

        return inner, ANSWER

    second.model, second.output_fn = nested, None
    assert second(1) == (("a", "a"), "b")


def test_threads_with_different_bundles_do_not_disturb_each_other(tmp_path):
    load = InferenceSession.from_artifacts
    sessions = {
        name: load(make_lazy_bundle(tmp_path / name, name), trust_user_code=True) for name in "ab"
    }
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda name: (name, sessions[name](1)), "abab" * 10))
    assert all(found == (name, name) for name, found in results)


def test_a_bundle_keeps_its_modules_while_another_one_is_called(tmp_path):
    sessions = []
    for name in "ab":
        artifacts = make_bundle(tmp_path / name, name, with_init=True)
        code = """
            def build(data, model_output, idx):
                from src.state import CALLS
                CALLS.append(idx)
                return len(CALLS)
        """
        write(tmp_path / name / "src" / "inference.py", textwrap.dedent(code))
        write(tmp_path / name / "src" / "state.py", "CALLS = []\n")
        sessions.append(InferenceSession.from_artifacts(artifacts, trust_user_code=True))
    assert [session(1) for _ in range(3) for session in sessions] == [1, 1, 2, 2, 3, 3]


def test_a_call_ends_before_another_bundle_takes_its_place(tmp_path):
    load = InferenceSession.from_artifacts
    first, second = (
        load(make_lazy_bundle(tmp_path / name, name), trust_user_code=True) for name in "ab"
    )
    started, go_on = threading.Event(), threading.Event()

    def slow(speech):
        started.set()
        go_on.wait(30)
        from src.late import ANSWER

        return ANSWER

    first.model, first.output_fn = slow, None
    with ThreadPoolExecutor(2) as pool:
        slowly = pool.submit(first, 1)
        started.wait(30)
        meanwhile = pool.submit(second, 1)
        try:
            with pytest.raises(TimeoutError):
                meanwhile.result(0.5)
        finally:
            go_on.set()
        assert (slowly.result(30), meanwhile.result(30)) == ("a", ("b", "b"))


def test_roots_go_to_the_front_of_the_path_once(tmp_path):
    make_bundle(tmp_path, "a", with_init=True)
    for _ in range(2):
        activate(tmp_path, ("src", "absent"))
    entries = [str(tmp_path), str(tmp_path / "src")]
    assert sys.path[:2] == entries
    assert all(sys.path.count(entry) == 1 for entry in entries)


def test_modules_of_the_host_are_never_replaced(tmp_path, caplog):
    import json

    import yaml

    for name in ("yaml", "json", "pytest"):
        write(tmp_path / "src" / f"{name}.py", "raise RuntimeError('mine')\n")
    activate(tmp_path, ("src",))
    assert sys.modules["yaml"] is yaml
    assert sys.modules["json"] is json
    assert sys.modules["pytest"] is pytest
    assert "stays loaded" in caplog.text


def test_the_source_folder_of_another_recipe_gives_way(tmp_path, monkeypatch):
    recipe = tmp_path / "recipe"
    write(recipe / "conf" / "training.yaml", {})
    write(recipe / "src" / "__init__.py", "WHO = 'recipe'\n")
    monkeypatch.syspath_prepend(str(recipe))
    import src

    assert src.WHO == "recipe"
    write(tmp_path / "bundle" / "src" / "__init__.py", "WHO = 'bundle'\n")
    activate(tmp_path / "bundle", ("src",))
    import src as again

    assert again.WHO == "bundle"


def test_a_root_that_is_a_link_out_of_the_bundle_is_refused(tmp_path):
    write(tmp_path / "outside" / "evil.py", "")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "src").symlink_to(tmp_path / "outside")
    with pytest.raises(RuntimeError, match="leaves the bundle"):
        activate(tmp_path / "bundle", ("src",))
