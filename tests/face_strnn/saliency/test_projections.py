"""The saliency map of networks whose important node is known by construction."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from data_prep.errors import BadInput
from face_strnn.drawing import FigureSource
from face_strnn.saliency.drawings import draw_columns, draw_directions, draw_kept_steps, draw_saliency, smooth_map
from face_strnn.saliency.projections import has_projection, kept_steps, projection_saliency, sparsity


def write_checkpoint(path: Path, projection: np.ndarray, grid: tuple[int, int] = (7, 7)) -> Path:
    save_file({"spatial.G": projection.astype(np.float32)}, path, metadata={"config": json.dumps({"grid": grid})})
    return path


def test_the_one_node_that_counts_lands_at_its_position_whatever_the_sign_and_the_direction(tmp_path):
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
    assert saliency.per_network.shape == (2, 7, 7)
    assert saliency.mean[0, 0] == pytest.approx(0.5)
    assert saliency.mean[6, 6] == pytest.approx(0.5)
    assert saliency.std[0, 0] == pytest.approx(np.sqrt(0.5))
    np.testing.assert_allclose(saliency.per_network.sum(axis=(1, 2)), 1)


def test_a_projection_emptied_by_sparsity_is_dark_everywhere_and_can_be_drawn(tmp_path):
    saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", np.zeros((4, 49, 10)))])
    assert not saliency.mean.any()
    assert not saliency.std.any()
    draw_saliency(saliency, FigureSource("synthetic", "last")).savefig(tmp_path / "empty.png")


def test_the_figure_is_brightest_at_the_important_node(tmp_path):
    projection = np.full((4, 49, 10), 0.01)
    projection[:, 5 * 7 + 3] = 1
    saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", projection)])
    figure = draw_saliency(saliency, FigureSource("CK+", "last"))
    shown = figure.axes[0].images[0]
    row, column = np.unravel_index(shown.get_array().argmax(), shown.get_array().shape)
    n = len(shown.get_array())
    assert (7 * row // n, 7 * column // n) == (5, 3)
    assert shown.get_extent() == [0, 1, 1, 0]  # row 0 at the top, as in the crop
    assert "CK+" in figure.get_suptitle()


def test_figures_name_synthetic_data_and_oracle_selection(tmp_path):
    saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", np.ones((4, 49, 10)))])
    assert "synthetic" in draw_saliency(saliency, FigureSource("synthetic", "last")).get_suptitle()
    assert "not comparable" in draw_saliency(saliency, FigureSource("CK+", "oracle")).get_suptitle()


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


def test_directions_and_columns_keep_their_own_maps_and_average_to_the_papers(tmp_path):
    projection = np.zeros((4, 49, 2))
    projection[0, 3, 0], projection[0, 4, 1], projection[2, 10, 0] = 2, -4, 2
    saliency = projection_saliency([write_checkpoint(tmp_path / "fold-01.safetensors", projection)])
    np.testing.assert_allclose(saliency.mean.ravel()[[3, 4, 10]], [0.25, 0.5, 0.25])
    np.testing.assert_allclose(saliency.per_direction[0].sum((1, 2)), [3, 0, 1, 0])
    assert np.unravel_index(saliency.weights[0, 0, 1].argmax(), (7, 7)) == (0, 4)
    np.testing.assert_allclose(saliency.per_direction.mean(axis=1)[0], saliency.mean)
    assert not saliency.std_per_direction.any()
    for draw in (draw_directions, draw_columns):
        assert "synthetic" in draw(saliency, FigureSource("synthetic", "last")).get_suptitle()


def write_temporal(path: Path, forward: np.ndarray, backward: np.ndarray, **others: np.ndarray) -> Path:
    save_file({"temporal.G": np.stack([forward, backward]).astype(np.float32), **others}, path)
    return path


def test_the_time_steps_that_a_projection_keeps_are_found_for_both_ways_whatever_their_size(tmp_path):
    early, late = np.zeros((6, 2)), np.zeros((6, 2))
    early[0], late[5] = -0.001, 1000
    paths = [
        write_temporal(tmp_path / "fold-01.safetensors", early, late),
        write_temporal(tmp_path / "fold-02.safetensors", late, late),
    ]
    steps = kept_steps(paths)
    np.testing.assert_allclose(steps.mean, [[0.5, 0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0, 1]], atol=1e-7)
    np.testing.assert_allclose(steps.std[:, 5], [np.sqrt(0.5), 0])
    figure = draw_kept_steps(steps, FigureSource("CK+", "oracle"))
    assert "not comparable" in figure.get_suptitle()
    write_temporal(paths[1], np.ones((7, 2)), np.ones((7, 2)))
    with pytest.raises(BadInput, match=r"fold-02.safetensors: has 7 time steps, fold-01.safetensors has 6"):
        kept_steps(paths)


def test_sparsity_counts_entries_below_a_hundredth_of_their_own_matrix_largest(tmp_path):
    spatial = np.ones((4, 10, 10), np.float32)
    spatial[0, 0, :5] = 0.009  # 5 of 100 entries
    spatial[1] *= 1e-6  # small, but alike
    spatial[2] = 0
    path = write_temporal(tmp_path / "fold-01.safetensors", np.eye(4), np.ones((4, 4)), **{"spatial.G": spatial})
    reached = sparsity([path, path])
    assert {name: shares.tolist() for name, shares in reached.items()} == {
        "G top-left": [0.05, 0.05],
        "G top-right": [0, 0],
        "G bottom-left": [1, 1],
        "G bottom-right": [0, 0],
        "G forward": [0.75, 0.75],
        "G backward": [0, 0],
    }
    assert list(sparsity([write_checkpoint(tmp_path / "spatial.safetensors", np.ones((4, 49, 2)))])) == [
        "G top-left", "G top-right", "G bottom-left", "G bottom-right",
    ]  # fmt: skip


def test_a_smooth_map_has_each_nodes_value_in_the_middle_of_its_cell_and_keeps_an_even_one_even():
    grid = np.random.default_rng(0).random((7, 7))
    fine = smooth_map(grid, 7 * 9)
    np.testing.assert_allclose(fine[4::9, 4::9], grid, atol=1e-9)
    np.testing.assert_allclose(smooth_map(np.full((7, 7), 0.3)), 0.3)
