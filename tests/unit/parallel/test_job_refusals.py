from __future__ import annotations

import re

import pytest

from espnet3.parallel.job_refusals import explain_refusal

FAILED = "It failed.\nExit code: {}\nCommand:\nx\nstdout:\n{}\nstderr:\n{}\n"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file", "qsub"), "qsub: command not found"),
        (RuntimeError(FAILED.format(127, "", "")), "qsub: command not found"),
        (RuntimeError(FAILED.format(1, "queue\nis full", "")), r"status 1\): queue\nis full"),
        (RuntimeError(FAILED.format(1, "", "")), r"refused the job .*it does not say why"),
        (RuntimeError(FAILED.format(1, "", "password=hunter2")), r"password=\*\*\*"),
        (PermissionError(13, "Permission denied"), "qsub did not submit the job: .*Permission"),
        (ValueError("Could not parse job id"), "qsub did not submit the job: Could not parse"),
    ],
)
def test_each_way_to_refuse_is_one_sentence(error, text):
    assert re.search(text, explain_refusal(error, "qsub -V"), re.DOTALL)
