"""Sequences held against the published list of CK+, with facts that are known by heart: 327, 309 without contempt."""

from types import SimpleNamespace

import pandas as pd
import pytest

from data_prep.datasets.ckplus_list import ckplus_sequences, compare_with_list
from data_prep.datasets.emotions import EMOTIONS, SIX_EMOTIONS
from face_strnn.audit.findings import Remark, ranges
from face_strnn.audit.published_list import published_list
from face_strnn.audit.run_files import NotApplicable

LISTED = [(one.name, one.subject, one.emotion) for one in ckplus_sequences()]


def test_all_seven_classes_are_327_sequences_and_six_are_309():
    assert compare_with_list(LISTED, EMOTIONS).in_words == "327 of 327 published sequences"
    six = [row for row in LISTED if row[2] in SIX_EMOTIONS]
    compared = compare_with_list([*six, *six], SIX_EMOTIONS)
    assert compared.in_words == "309 of 309 published sequences" and not compared.differences and not compared.missing


def test_each_difference_is_named():
    (a, of_a, _), (b, _, emotion), *others = LISTED
    changed = [(a, of_a, "fear"), (b, "S998", emotion), ("S998_001", "S998", "fear")]
    compared = compare_with_list([*changed, *others[1:]], EMOTIONS)
    assert compared.in_words == "324 of 327 published sequences" and compared.missing == (others[0][0],)
    assert compared.differences == {
        "not on the published list": ("S998_001",),
        "under another subject than published": (b,),
        "with another emotion than published": (a,),
    }


def files(rows, data="CK+", left_out=(), damaged=(), partial=""):
    return SimpleNamespace(
        settings=SimpleNamespace(data=data, classes=EMOTIONS),
        summary=SimpleNamespace(left_out=left_out, damaged=damaged, partial=partial),
        folds=pd.DataFrame(rows, columns=["sequence", "subject", "emotion"]),
    )


def test_what_the_summary_names_as_left_out_or_damaged_may_be_missing_and_is_named():
    texts = list(published_list(files(LISTED[2:], left_out=[LISTED[0][0]], damaged=[LISTED[1][0]])))
    assert all(isinstance(text, Remark) for text in texts)
    assert texts == ["325 of 327 published sequences", f"missing: {LISTED[0][0]} (no face), {LISTED[1][0]} (damaged)"]
    assert not isinstance(next(published_list(files(LISTED[2:], left_out=[LISTED[0][0]]))), Remark)


def test_other_data_have_no_such_list():
    with pytest.raises(NotApplicable):
        list(published_list(files(LISTED, data="synthetic")))


def test_numbers_are_listed_in_ranges():
    assert ranges([3, 1, 2, 7, 9, 10]) == "1 to 3, 7, 9 to 10"


def test_of_partial_features_what_is_missing_is_counted_and_no_fault():
    texts = list(published_list(files(LISTED[2:], partial="325 of 327 sequences")))
    assert all(isinstance(text, Remark) for text in texts)
    assert texts[1] == "2 missing, because the features were partial: 325 of 327 sequences"
