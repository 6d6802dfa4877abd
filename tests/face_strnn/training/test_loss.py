"""Equation (10), against one network at a time and numbers worked out by hand."""

import math

import pytest
import torch

from face_strnn.models import reference
from face_strnn.training.loss import mean_cross_entropy, sparsity_penalty

M, B, CLASSES = 3, 8, 7


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(M, B, CLASSES, generator=generator, dtype=torch.float64)
    classes = torch.randint(CLASSES, (B,), generator=generator)
    train_mask = torch.rand(M, B, generator=generator) < 0.6
    assert train_mask.any(1).all() and not train_mask.all()
    return logits, classes, train_mask


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_each_networks_cross_entropy_is_over_its_own_training_samples(batch, smoothing):
    logits, classes, train_mask = batch
    found = mean_cross_entropy(logits, classes, train_mask, smoothing)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    expected = [loss(logits[m][train_mask[m]], classes[train_mask[m]]) for m in range(M)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_a_cross_entropy_worked_out_by_hand():
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0]]])
    found = mean_cross_entropy(logits, torch.tensor([1, 0]), torch.tensor([[True, True]]))
    assert found.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_hidden_sequences_logits_change_nothing_whatever_they_are(batch, value):
    logits, classes, train_mask = batch
    wild = torch.where(train_mask[..., None], logits, value)
    assert torch.equal(mean_cross_entropy(wild, classes, train_mask), mean_cross_entropy(logits, classes, train_mask))


def gradient_of(logits, classes, train_mask):
    logits = logits.clone().requires_grad_()
    mean_cross_entropy(logits, classes, train_mask).sum().backward()
    return logits.grad


def test_a_hidden_sequence_sends_no_gradient(batch):
    logits, classes, train_mask = batch
    gradient = gradient_of(logits, classes, train_mask)
    assert (gradient[~train_mask] == 0).all() and (gradient[train_mask] != 0).all()


@pytest.mark.parametrize("value", [-math.inf, math.inf, math.nan])
def test_a_hidden_sequence_sends_no_gradient_even_where_its_loss_is_not_finite(batch, value):
    logits, classes, train_mask = batch
    wild = logits.clone()
    wild[..., 0] = torch.where(train_mask, wild[..., 0], value)
    gradient = gradient_of(wild, classes, train_mask)
    assert torch.equal(gradient, gradient_of(logits, classes, train_mask))


def test_a_network_without_training_samples_has_no_loss_and_no_gradient(batch):
    logits, classes, train_mask = batch
    train_mask[1] = False
    assert mean_cross_entropy(logits, classes, train_mask)[1] == 0
    assert (gradient_of(logits, classes, train_mask)[1] == 0).all()


def test_the_sparsity_terms_are_sums_of_absolute_values_per_network():
    spatial = torch.tensor([[[[1.0, -2.0]], [[0.5, 0.0]]], [[[-4.0, 0.0]], [[0.0, -1.0]]]])  # (M, D, K, Kp)
    temporal = torch.tensor([[[[-3.0]], [[1.0]]], [[[0.0]], [[-0.25]]]])  # (M, 2, L, Lp)
    found = sparsity_penalty({"spatial.G": spatial, "temporal.G": temporal}, lambda1=2.0, lambda2=10.0)
    assert found.tolist() == [2 * 3.5 + 10 * 4.0, 2 * 5.0 + 10 * 0.25]
    generator = torch.Generator().manual_seed(1)
    G, T = torch.randn(M, 4, 6, 3, generator=generator), torch.randn(M, 2, 5, 2, generator=generator)
    found = sparsity_penalty({"spatial.G": G, "temporal.G": T}, 0.3, 0.7)
    for m in range(M):
        by_direction = sum(abs(value) for r in range(4) for value in G[m, r].flatten().tolist())
        by_way = sum(abs(value) for value in T[m].flatten().tolist())
        assert found[m].item() == pytest.approx(0.3 * by_direction + 0.7 * by_way, rel=1e-5)


def test_the_two_terms_together_are_equation_10_as_the_paper_writes_it(batch):
    logits, classes, _ = batch
    generator = torch.Generator().manual_seed(2)
    G = {"spatial.G": torch.randn(M, 4, 6, 3, generator=generator, dtype=torch.float64)}
    G["temporal.G"] = torch.randn(M, 2, 5, 2, generator=generator, dtype=torch.float64)
    everything = torch.ones(M, B, dtype=torch.bool)
    found = mean_cross_entropy(logits, classes, everything) + sparsity_penalty(G, lambda1=0.3, lambda2=0.7)
    for m in range(M):
        projections = {name: tensor[m] for name, tensor in G.items()}
        P = torch.stack([reference.probabilities(o) for o in logits[m]])
        torch.testing.assert_close(found[m], reference.loss(P, classes, projections, lambda1=0.3, lambda2=0.7))
