"""Short ways to make, audit and draw runs in tests."""

from face_strnn.evaluation.crossval import cross_validate
from face_strnn.evaluation.settings import Plan


def plan_of(config, **options):
    """The plan of a network's and a training's settings, with the options of :class:`Plan` by name."""
    return Plan(network=config.network, training=config.training, **options)


def cross_validated(store, out, config, progress=None, weights=None, **options):
    """Cross-validate and return the summary."""
    return cross_validate(store, out, plan_of(config, **options), weights=weights, progress=progress).summary
