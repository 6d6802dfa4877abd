"""Networks over nodes that are no grid: a scan by coordinates or lists, in the network, its file and the estimator."""

import numpy as np
import pytest
import torch
from literal import literal_projection, literal_states, random_maps

from data_prep.errors import BadInput
from face_strnn import STRNN, STRNNClassifier
from face_strnn.models.scan import Scan

SENSORS = [(0, 1), (0.4, 0), (0.5, 2), (1, 1), (1.6, 0.2), (2, 1.9)]
SIZES = {
    "input_size": 3, "spatial_hidden": 4, "spatial_output": 3, "spatial_projection": 2, "temporal_hidden": 5,
    "length": 4, "temporal_projection": 2, "n_classes": 3,
}  # fmt: skip


@pytest.fixture
def scan():
    return Scan.from_coordinates(SENSORS, reach=1.3)


def test_a_network_over_sensors_equals_the_literal_equations(scan):
    torch.manual_seed(0)
    network = STRNN(**SIZES, scan=scan).double()
    maps = random_maps(2, 4, 6, 3)
    U, W, b, G, V = (getattr(network.spatial, name).detach() for name in "UWbGV")
    expected = []
    for x in maps.flatten(0, 1):
        m = 0
        for r in range(4):
            h = literal_states(x, U[r], W[r], b[r], scan.orders[r], scan.predecessors[r], "relu")
            m = m + V[r] @ literal_projection(h, G[r])
        expected.append(m)
    seen = []
    network.temporal.R.data.zero_()
    network.temporal.R.data[:, :3] = torch.eye(3)
    network.temporal.W.data.zero_()
    network.temporal.b.data.fill_(1e3)  # sigma is the identity up there, and f_t is m_t + 1000
    network.temporal.G.data.zero_()
    network.temporal.V.data.zero_()
    network.temporal.V.data[0, :, :3] = torch.eye(3)
    for step in range(4):
        network.temporal.G.data[0, :, 0] = torch.eye(4)[step]
        seen.append(network(maps).detach() - 1e3)
    torch.testing.assert_close(torch.stack(seen, 1).flatten(0, 1), torch.stack(expected), rtol=1e-8, atol=1e-8)


def test_a_network_over_sensors_comes_back_from_its_file(scan, tmp_path):
    network = STRNN(**SIZES, scan=scan)
    network.save(tmp_path / "model.safetensors", classes="three")
    again = STRNN.load(tmp_path / "model.safetensors")
    maps = torch.rand(2, 4, 6, 3)
    assert torch.equal(network(maps), again(maps)) and again.facts == {"classes": "three"}
    with pytest.raises(BadInput, match=r"the network takes \(batch, 4, 6, 3\)"):
        again(torch.rand(2, 4, 2, 3, 3))


def test_directions_may_be_of_any_number(tmp_path):
    line = Scan([[0, 1, 2]], [[[], [0], [1]]])
    network = STRNN(**SIZES, scan=line)
    assert tuple(network.spatial.U.shape) == (1, 4, 3) and network(torch.rand(2, 4, 3, 3)).shape == (2, 3)


def test_the_estimator_learns_over_sensors(scan):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(5, 6, 3)) for _ in range(12)]
    y = np.arange(12) % 2
    for sequence, label in zip(X, y, strict=True):
        sequence[:, 4, 1] += 4 * label
    sizes = {"spatial_hidden": 6, "temporal_hidden": 6, "length": 5, "epochs": 30, "batch_size": 4}
    classifier = STRNNClassifier(**sizes, scan=scan).fit(X, y)
    assert classifier.score(X, y) == 1
    with pytest.raises(BadInput, match=r"all must be \(frames, 6, channels\)"):
        classifier.predict([np.zeros((5, 7, 3))])
