"""Wrong options are named as they are typed, with what they must be."""

import pytest

from face_strnn.cli.program import main

CV = ["cv", "--features", "features", "--out", "run"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cv"], "cv needs features, out"),
        (["cv", "--out", "run"], "cv needs features"),
        (["audit"], "audit needs run"),
        ([*CV, "--learn-from", "some"], "--learn-from some: must be one of all, one, original"),
        ([*CV, "--training.epochs", "many"], "--training.epochs many: must be a whole number"),
        ([*CV, "--seeds", "1.5"], "--seeds 1.5: must be a whole number"),
        ([*CV, "--config", "absent.yaml"], "--config: File does not exist"),
        ([*CV, "--network.grid", "7"], "--network.grid 7: must be whole numbers in brackets, such as [7,7]"),
        ([*CV, "--weights", "vgg.pth"], "unrecognized arguments: --weights vgg.pth"),
        (["prepare", "--root", "ck", "--out", "f", "--margin", "wide"], "--margin wide: must be a number"),
        (["prepare", "--root", "ck", "--out", "f", "--rotations", "7"], "--rotations 7: must be numbers in brackets"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_must_be(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.startswith(f"face-strnn: {said}") and len(error.splitlines()) == 1
