"""The saliency map of networks whose important place is known, written by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from data_prep.errors import BadInput
from face_strnn.saliency_figures import draw_saliency
from face_strnn.saliency import has_projection, projection_saliency


def write_checkpoint(path: Path, projection: np.ndarray, grid: tuple[int, int] = (7, 7)) -> Path:
    save_file({"spatial.G": projection.astype(np.float32)}, path, metadata={"config": json.dumps({"grid": grid})})
    return path


def test_the_one_node_that_counts_lands_at_its_place_whatever_the_sign_and_the_direction(tmp_path):
    for direction in range(4):
        projection = np.zeros((4, 49, 10))
        projection[direction, 5 * 7 + 2] = -3
        saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", projection)])
        expected = np.zeros((7, 7))
        expected[5, 2] = 1
        np.testing.assert_array_equal(saliency.mean, expected)


def test_rows_are_placed_by_the_width_of_a_grid_that_is_not_square(tmp_path):
    projection = np.ones((4, 15, 2))
    projection[:, 1 * 5 + 4] = 100
    saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", projection, grid=(3, 5))])
    assert saliency.mean.shape == (3, 5)
    assert np.unravel_index(saliency.mean.argmax(), (3, 5)) == (1, 4)


def test_folds_count_alike_however_large_their_weights(tmp_path):
    first, second = np.zeros((4, 49, 10)), np.zeros((4, 49, 10))
    first[:, 0], second[:, 48] = 0.001, 1000
    paths = [
        write_checkpoint(tmp_path / f"fold-{n:02d}.safetensors", projection)
        for n, projection in enumerate((first, second), start=1)
    ]
    saliency = projection_saliency(paths)
    assert saliency.per_fold.shape == (2, 7, 7)
    assert saliency.mean[0, 0] == pytest.approx(0.5)
    assert saliency.mean[6, 6] == pytest.approx(0.5)
    assert saliency.spread[0, 0] == pytest.approx(np.sqrt(0.5))
    np.testing.assert_allclose(saliency.per_fold.sum(axis=(1, 2)), 1)


def test_a_projection_emptied_by_sparsity_is_dark_everywhere_and_can_be_drawn(tmp_path):
    saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", np.zeros((4, 49, 10)))])
    assert not saliency.mean.any()
    assert not saliency.spread.any()
    draw_saliency(saliency, data="synthetic", selection="last").savefig(tmp_path / "empty.png")


def test_the_figure_is_brightest_at_the_important_place(tmp_path):
    projection = np.full((4, 49, 10), 0.01)
    projection[:, 5 * 7 + 3] = 1
    saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", projection)])
    figure = draw_saliency(saliency, data="CK+", selection="last")
    shown = figure.axes[0].images[0]
    assert np.unravel_index(shown.get_array().argmax(), (7, 7)) == (5, 3)
    assert shown.get_extent() == [0, 1, 1, 0]  # row 0 at the top, as in the crop
    assert "CK+" in figure.get_suptitle()


def test_figures_name_synthetic_data_and_oracle_selection(tmp_path):
    saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", np.ones((4, 49, 10)))])
    assert "synthetic" in draw_saliency(saliency, data="synthetic", selection="last").get_suptitle()
    assert "not comparable" in draw_saliency(saliency, data="CK+", selection="oracle").get_suptitle()


def test_a_checkpoint_that_cannot_be_used_is_named(tmp_path):
    path = tmp_path / "fold-01.safetensors"
    with pytest.raises(BadInput, match=r"fold-01.safetensors: does not exist; .*it resumes"):
        projection_saliency([path])
    path.write_bytes(b"half a fi")
    with pytest.raises(BadInput, match=r"fold-01.safetensors: is not a whole safetensors file"):
        projection_saliency([path])
    with pytest.raises(BadInput, match=r"fold-01.safetensors: is not a whole safetensors file"):
        has_projection(path)
    save_file({"temporal.G": np.ones((2, 44, 5), np.float32)}, path)
    assert not has_projection(path)
    with pytest.raises(BadInput, match=r"fold-01.safetensors: has no spatial.G"):
        projection_saliency([path])
    save_file({"spatial.G": np.ones((4, 49, 10), np.float32)}, path)
    assert has_projection(path)
    with pytest.raises(BadInput, match="does not give the network's grid"):
        projection_saliency([path])
    write_checkpoint(path, np.ones((4, 48, 10)))
    with pytest.raises(BadInput, match="does not fit a grid of 7 x 7"):
        projection_saliency([path])
    write_checkpoint(path, np.full((4, 49, 10), np.nan))
    with pytest.raises(BadInput, match="not finite"):
        projection_saliency([path])
    with pytest.raises(BadInput, match="no checkpoints"):
        projection_saliency([])


def test_checkpoints_of_different_grids_are_refused(tmp_path):
    first = write_checkpoint(tmp_path / "fold-01.safetensors", np.ones((4, 49, 10)))
    second = write_checkpoint(tmp_path / "fold-02.safetensors", np.ones((4, 16, 10)), grid=(4, 4))
    with pytest.raises(BadInput, match=r"fold-02.safetensors: its grid is \(4, 4\)"):
        projection_saliency([first, second])
