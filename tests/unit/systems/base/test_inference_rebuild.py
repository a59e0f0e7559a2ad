from __future__ import annotations

import shutil

import pytest

from espnet3.errors import DataError, InferenceError
from espnet3.systems.base.score_coverage import describe_gap, read_coverage, refuse_incomplete
from tests.unit.systems.base import toy_inference as toy
from tests.unit.systems.base.toy_inference import hyps


class TestFilesThatTheUserRemoved:
    """``vector`` has a file per sample, ``hyp`` has not."""

    KEYS = {"output_fn": f"{toy.HERE}.build_with_array", "output_keys": ["hyp", "vector"]}

    @pytest.mark.parametrize("lost", [["u03.npy", "u07.npy"], None])
    def test_only_what_is_missing_of_a_finished_run_is_made_again(self, run, lost):
        folder = run(**self.KEYS)
        before = {path: path.read_bytes() for path in folder.glob("**/*.[sn][cp][py]")}
        for name in lost or [path.name for path in (folder / "vector").iterdir()]:
            (folder / "vector" / name).unlink()
        if lost is None:
            (folder / "vector").rmdir()
        toy.seen.clear()
        run(**self.KEYS)
        assert len(toy.seen) == (len(lost) if lost else 12)
        assert {path: path.read_bytes() for path in before} == before
        toy.seen.clear()
        run(**self.KEYS)
        assert toy.seen == []

    def test_an_interrupted_run_notices_it_too(self, run, tmp_path):
        arguments = {"bad": [9]}
        for _ in range(2):
            toy.seen.clear()
            with pytest.raises(ArithmeticError):
                run(model="PickyModel", arguments=arguments, **self.KEYS)
            (tmp_path / "out/clean/vector/u03.npy").unlink()
        assert [int(speech[0]) for speech in toy.seen] == [3]

    def test_a_folder_that_goes_while_its_test_set_is_decoded_is_named(self, run, monkeypatch):
        from espnet3.systems.base import inference_journal

        def publish(folder, *rest):
            shutil.rmtree(folder / "vector")
            original(folder, *rest)

        original = inference_journal.publish_scps
        with monkeypatch.context() as context:
            context.setattr(inference_journal, "publish_scps", publish)
            with pytest.raises(InferenceError, match=r"vector: the folder is gone.*'vector'"):
                run(**self.KEYS)
        assert len(hyps(run(**self.KEYS))) == 12

    def test_scores_over_lost_files_are_refused(self, run):
        folder = run(**self.KEYS)
        inputs = [folder / "hyp.scp", folder / "vector.scp"]
        assert describe_gap(read_coverage(folder, inputs)) is None
        (folder / "vector" / "u03.npy").unlink()
        counts = read_coverage(folder, inputs)
        assert describe_gap(counts) == "files of output vector are gone"
        assert describe_gap(read_coverage(folder, inputs[:1])) is None
        with pytest.raises(DataError, match="run the stage `infer` again"):
            refuse_incomplete({"clean": counts})
