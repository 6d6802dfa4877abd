"""The configurations that are shipped, through the program's own parser."""

from face_strnn.cli.options import program, with_shipped_configuration
from face_strnn.cli.program import COMMANDS
from face_strnn.config import NetworkConfig, TrainingConfig


def settings_of(*options):
    given = ["cv", "--features", "features", "--out", "run", *options]
    parser = program(COMMANDS)
    return parser.instantiate(parser.parse_args(with_shipped_configuration(given)))["cv"]


def test_best_is_what_the_program_does_by_default():
    assert settings_of("--config", "best").training == TrainingConfig() == settings_of().training


def test_paper_has_the_sizes_of_the_paper_and_nothing_beyond_its_loss():
    paper = settings_of("--config", "paper")
    assert paper.network == NetworkConfig()
    training = paper.training
    assert (training.schedule, training.warmup, training.weight_decay) == ("constant", 0.0, 0.0)
    assert (training.gradient_clip, training.label_smoothing) == (float("inf"), 0.0)
    assert training.lambda1 > 0 and training.lambda2 > 0


def test_an_option_after_a_configuration_counts():
    assert settings_of("--config", "paper", "--training.lambda1", "0").training.lambda1 == 0
