"""The equations as code: (1) to (10) of Zhang et al., "Spatial-Temporal Recurrent Neural Network for
Emotion Recognition", IEEE Trans. Cybernetics 49(3), 2019, as the paper writes them. Read this first.

One sequence, node by node and step by step, in float64: clear and slow. :mod:`face_strnn.models.strnn` computes many
networks and sequences at once; its tests compare its values and gradients with this module.

The symbols are the paper's. ``x`` (L, K, C): K nodes of C numbers in each of L time steps; node k = (i, j) of an h x w
grid is k = i * w + j, counted from 0. D traversing directions r; the states h^r_ij have H units, the states f_t and g_t
of the forward (f) and the backward (b) network have Ht. The parameters, by name:

    spatial:   U (D, H, C)    W (D, H, H)    b (D, H)    G (D, K, Kp)    V (D, output, Kp * H)
    temporal:  R (2, Ht, output)    W (2, Ht, Ht)    b (2, Ht)    G (2, L, Lp)    V (2, classes, Lp * Ht)
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from face_strnn.models.strnn import STRNN

Sigma = Callable[[Tensor], Tensor]
"""The activation of (1), (5) and (6): ReLU or the logistic sigmoid."""

Direction = tuple[Sequence[int], Sequence[Sequence[int]]]
"""A traversing direction r: all nodes in the order of visits, and for each node ij its predecessors N^r_ij."""


def forward(network: STRNN, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and the probabilities of one sequence, (8) and (9).

    Args:
        network: over a grid or any other nodes; an ablation of the paper, which lacks some parameters, works too.
        x: (L, K, C), or (L, h, w, C) over a grid.

    Returns:
        o and P, each (classes,), float64; gradients reach the network's parameters and ``x``.
    """
    scan = network.scan
    directions = corners(*scan.shape) if len(scan.shape) == 2 else zip(scan.orders, scan.predecessors, strict=True)
    parameters = {name: parameter.double() for name, parameter in network.named_parameters()}
    sigma = torch.relu if network.config.activation == "relu" else torch.sigmoid
    o = logits(parameters, x.double().flatten(1, -2), list(directions), sigma)
    return o, probabilities(o)


def logits(parameters: Mapping[str, Tensor], x: Tensor, directions: Sequence[Direction], sigma: Sigma) -> Tensor:
    """Equations (1) to (8): time steps x (L, K, C) -> o (classes,)."""
    m = [srnn(parameters, x_t, directions, sigma) for x_t in x]  # (1) to (4)  L x (output,)
    return trnn(parameters, m, sigma)  # (5) to (8)  (classes,)


def corners(h: int, w: int) -> list[Direction]:
    """Equation (2): the traversing directions of an h x w grid, from the four corners in the order of the parameters.

    From the top-left corner N_ij = {(i, j - 1), (i - 1, j - 1), (i - 1, j)}, as far as these nodes exist. The other
    corners are its mirror images: i and j are counted from the corner.
    """
    directions = []
    for bottom, right in ((False, False), (False, True), (True, False), (True, True)):
        k = {(i, j): (h - 1 - i if bottom else i) * w + (w - 1 - j if right else j) for i in range(h) for j in range(w)}
        N = [()] * (h * w)
        for i, j in k:
            N[k[i, j]] = [k[kl] for kl in ((i, j - 1), (i - 1, j - 1), (i - 1, j)) if kl in k]  # (2)
        directions.append((list(k.values()), N))
    return directions


def spatial_states(x: Tensor, direction: Direction, sigma: Sigma, U: Tensor, W: Tensor, b: Tensor) -> list[Tensor]:
    """Equation (1) along one direction: nodes x (K, C) -> K states h_ij (H,), in the order of the nodes."""
    order, N = direction
    h = [torch.zeros_like(b)] * len(x)
    for ij in order:
        predecessors = sum((h[kl] for kl in N[ij]), torch.zeros_like(b))  # (H,)
        h[ij] = sigma(U @ x[ij] + W @ predecessors + b)  # (1)  (H,)
    return h


def sparse_projection(h: Sequence[Tensor], G: Tensor) -> Tensor:
    """Equations (3) and (7): K states (H,) under G (K, Kp), or L states under G (L, Lp) -> [s_1; ...; s_Kp] stacked."""
    return torch.cat([sum(G[k, column] * h[k] for k in range(len(h))) for column in range(G.shape[1])])


def srnn(parameters: Mapping[str, Tensor], x: Tensor, directions: Sequence[Direction], sigma: Sigma) -> Tensor:
    """The spatial layer on one time slice x (K, C) -> m_t (output,)."""
    U, b = parameters["spatial.U"], parameters["spatial.b"]
    if "spatial.W" not in parameters:  # TRNN only (Table IV): one fully connected layer, U (1, output, K * C)
        return sigma(U[0] @ torch.cat(list(x)) + b[0])
    W, G, V = (parameters[f"spatial.{letter}"] for letter in "WGV")
    m = torch.zeros_like(V[0, :, 0])
    for r, direction in enumerate(directions):
        h = spatial_states(x, direction, sigma, U[r], W[r], b[r])  # (1)  K x (H,)
        s = sparse_projection(h, G[r])  # (3)  (Kp * H,)
        m = m + V[r] @ s  # (4)  (output,)
    return m


def trnn(parameters: Mapping[str, Tensor], m: Sequence[Tensor], sigma: Sigma) -> Tensor:
    """The temporal layer on m_1, ..., m_L, each (output,) -> o (classes,)."""
    R, b, V = (parameters[f"temporal.{letter}"] for letter in "RbV")
    if "temporal.W" not in parameters:  # SRNN only: R (1, Ht, L * output), V (1, classes, Ht)
        return V[0] @ sigma(R[0] @ torch.cat(list(m)) + b[0])
    W, G, L = parameters["temporal.W"], parameters["temporal.G"], len(m)
    f, g = {-1: torch.zeros_like(b[0])}, {L: torch.zeros_like(b[1])}  # the states before the first are zero
    for t in range(L):
        f[t] = sigma(R[0] @ m[t] + W[0] @ f[t - 1] + b[0])  # (5)  (Ht,)
    for t in reversed(range(L)):
        g[t] = sigma(R[1] @ m[t] + W[1] @ g[t + 1] + b[1])  # (6)  (Ht,)
    q_f = sparse_projection([f[t] for t in range(L)], G[0])  # (7)  (Lp * Ht,)
    q_b = sparse_projection([g[t] for t in range(L)], G[1])  # (7)  (Lp * Ht,)
    return V[0] @ q_f + V[1] @ q_b  # (8)  (classes,)


def probabilities(o: Tensor) -> Tensor:
    """Equation (9): o (classes,) -> P (classes,), which sum to 1."""
    return torch.exp(o) / torch.exp(o).sum()  # (9)


def loss(P: Tensor, y: Tensor, parameters: Mapping[str, Tensor], lambda1: float, lambda2: float) -> Tensor:
    """Equation (10): the loss of N sequences with probabilities P (N, classes) and labels y (N,)."""
    cross_entropy = -sum(torch.log(P[i, y[i]]) for i in range(len(y))) / len(y)
    G_spatial, G_temporal = parameters["spatial.G"].abs().sum(), parameters["temporal.G"].abs().sum()
    return cross_entropy + lambda1 * G_spatial + lambda2 * G_temporal  # (10)
