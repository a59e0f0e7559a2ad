from __future__ import annotations

from espnet3.systems.base.score_table import format_table


def test_counts_stand_beside_the_scores_that_have_them():
    scores = {"a.WER": {"clean": {"WER": 2.5}}, "b.Speed": {"clean": {"mean": 1, "max": 10}}}
    details = {"a.WER": {"clean": {"errors": 5, "reference_length": 200, "worst": []}}}
    assert format_table(scores, details) == (
        "| test set | metric | score | errors | tokens |\n"
        "|---|---|---:|---:|---:|\n"
        "| clean    | WER    |  2.50 |      5 |    200 |\n"
        "| clean    | mean   |     1 |      – |      – |\n"
        "| clean    | max    |    10 |      – |      – |\n"
    )


def test_a_table_without_scores_has_its_header():
    assert format_table({}, {}).splitlines()[0] == "| test set | metric | score |"
