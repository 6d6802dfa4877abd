"""From real frames to time steps, against numpy's interpolation."""

import numpy as np
import pytest
import torch

from data_prep.errors import BadInput
from face_strnn.config import NetworkConfig
from face_strnn.models.strnn import STRNN, MapBatch
from face_strnn.models.time_steps import time_steps

LENGTHS = [(1, 2), (1, 44), (2, 44), (6, 44), (11, 44), (43, 44), (44, 44), (71, 44), (71, 2), (5, 2), (9, 4)]


@pytest.mark.parametrize(("n_frames", "length"), LENGTHS)
def test_linear_steps_are_numpys_interpolation(n_frames, length):
    signal = np.random.default_rng(0).normal(size=n_frames)
    expected = np.interp(np.linspace(0, n_frames - 1, length), np.arange(n_frames), signal)
    found = time_steps(n_frames, length).double().numpy() @ signal
    assert np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("how", ["linear", "nearest"])
@pytest.mark.parametrize(("n_frames", "length"), LENGTHS)
def test_both_ends_are_kept_exactly(n_frames, length, how):
    steps = time_steps(n_frames, length, how)
    assert steps.shape == (length, n_frames) and steps.dtype == torch.float32
    assert torch.equal(steps[0], torch.eye(n_frames)[0])
    assert torch.equal(steps[-1], torch.eye(n_frames)[-1])


@pytest.mark.parametrize("how", ["linear", "nearest", "zero-pad"])
def test_a_single_time_step_cannot_keep_both_ends_and_is_refused(how):
    for n_frames in (1, 2, 9):
        with pytest.raises(ValueError, match="1 time steps cannot keep the first and the last frame"):
            time_steps(n_frames, 1, how)
    for sized in (NetworkConfig, STRNN):
        with pytest.raises(BadInput, match="network: length is 1; it must be at least 2"):
            sized(length=1)


@pytest.mark.parametrize("how", ["linear", "nearest", "zero-pad"])
@pytest.mark.parametrize(("n_frames", "length"), LENGTHS)
def test_rows_are_weights(n_frames, length, how):
    steps = time_steps(n_frames, length, how)
    assert len(steps) == length and (steps >= 0).all()
    assert torch.allclose(steps.sum(1), torch.ones(length), atol=1e-6)


def test_nearest_takes_the_nearer_frame_and_the_later_one_of_two():
    chosen = time_steps(3, 9, "nearest").argmax(1).tolist()  # positions 0, 1/4, 1/2, ..., 2
    assert chosen == [0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert (time_steps(3, 9, "nearest").amax(1) == 1).all()
    for n_frames, length in LENGTHS:
        position = np.linspace(0, n_frames - 1, length)
        chosen = time_steps(n_frames, length, "nearest").argmax(1).numpy()
        assert (np.abs(chosen - position) <= 0.5 + 1e-9).all()


def test_zero_pad_takes_frames_as_they_are_and_then_zeros():
    maps = torch.randn(3, 2, 2, 5)
    batch = MapBatch.of([maps], length=6, how="zero-pad")
    steps = torch.einsum("tf,fkc->tkc", batch.steps[0], batch.frames)
    assert torch.equal(steps[:3], maps.flatten(1, 2)) and (steps[3:] == 0).all()
    assert torch.equal(time_steps(6, 6, "zero-pad"), torch.eye(6))


def test_zero_pad_shortens_a_longer_sequence_linearly():
    assert torch.equal(time_steps(9, 4, "zero-pad"), time_steps(9, 4, "linear"))


def test_a_single_frame_stands_in_every_step():
    assert torch.equal(time_steps(1, 7), torch.ones(7, 1))
    assert torch.equal(time_steps(1, 7, "nearest"), torch.ones(7, 1))


def test_sequences_of_a_batch_do_not_mix():
    sequences = [torch.randn(n, 1, 2, 3) for n in (2, 5, 1)]
    for how in ("linear", "nearest", "zero-pad"):
        batch, first = MapBatch.of(sequences, 4, how), 0
        for maps, steps in zip(sequences, batch.steps, strict=True):
            own = batch.frames[first : first + steps.shape[1]]
            assert torch.equal(own[: len(maps)], maps.flatten(1, 2))
            first += steps.shape[1]
        assert first == len(batch.frames)
