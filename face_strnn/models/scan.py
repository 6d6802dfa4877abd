"""Traversals of the spatial nodes as data: the order of visits and each node's predecessors (equation 2)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from data_prep.errors import BadInput


@dataclass(frozen=True)
class Handover:
    """States that a wave receives from an earlier one.

    Attributes:
        wave: number of the earlier wave.
        source: positions of the sending nodes within that wave.
        target: positions of the receiving nodes within their wave, as many.
        direction: the only direction with this handover; None if all directions have it.
    """

    wave: int
    source: slice
    target: slice
    direction: int | None


@dataclass(frozen=True)
class Wave:
    """Nodes of equal depth: all their predecessors are in earlier waves, so that they are computed at once.

    Attributes:
        start: first position of the wave in the order of visits.
        size: number of positions.
        handovers: the predecessors' states, which are summed.
    """

    start: int
    size: int
    handovers: tuple[Handover, ...]


class Scan:
    """Traversing directions over one set of nodes.

    Args:
        orders: for each direction, all K nodes in the order in which it visits them.
        predecessors: for each direction, for each node, the nodes whose states it receives (N^r in equation 2).

    Raises:
        BadInput: a direction does not visit every node exactly once, or a node's predecessor is not a node that is
            visited before it.

    Attributes:
        orders, predecessors: as given.
        n_directions: D.
        n_nodes: K.
        shape: of the nodes in maps: (h, w) for a grid, else (K,).
        waves: nodes grouped by depth; every wave depends only on earlier ones.
        n_positions: length of the order in which nodes are computed, wave by wave: K, or more where the directions'
            waves differ in size, because shorter ones are padded with empty positions.
        positions: int64 (D, K), the position of each node in that order.

    Example:
        >>> scan = Scan.grid(7, 7)
        >>> scan.n_directions, scan.n_nodes, len(scan.waves)
        (4, 49, 13)
    """

    def __init__(self, orders: Sequence[Sequence[int]], predecessors: Sequence[Sequence[Sequence[int]]]) -> None:
        self.orders, self.predecessors = orders, predecessors
        self.n_directions, self.n_nodes = len(orders), len(orders[0]) if orders else 0
        self.shape: tuple[int, ...] = (self.n_nodes,)
        if not self.n_nodes or len(predecessors) != self.n_directions:
            raise BadInput("a scan needs at least one direction over at least one node, with the predecessors of each")
        directions = [
            _waves(order, before, self.n_nodes, direction)
            for direction, (order, before) in enumerate(zip(orders, predecessors, strict=True))
        ]
        n_waves = max(map(len, directions))
        nodes = [[waves[depth] if depth < len(waves) else [] for waves in directions] for depth in range(n_waves)]
        sizes = [max(map(len, wave)) for wave in nodes]
        starts = [sum(sizes[:depth]) for depth in range(n_waves)]
        self.n_positions = sum(sizes)
        self.positions = torch.empty(self.n_directions, self.n_nodes, dtype=torch.int64)
        location: list[dict[int, tuple[int, int]]] = [{} for _ in orders]
        for depth, wave in enumerate(nodes):
            for direction, wave_nodes in enumerate(wave):
                for offset, node in enumerate(wave_nodes):
                    self.positions[direction, node] = starts[depth] + offset
                    location[direction][node] = (depth, offset)
        self._positions_on = {torch.device("cpu"): self.positions}
        self.waves = tuple(
            Wave(start, size, _handovers(wave, predecessors, location))
            for start, size, wave in zip(starts, sizes, nodes, strict=True)
        )

    def positions_on(self, device: torch.device) -> torch.Tensor:
        """Return ``positions`` on a device; they are copied there once."""
        if device not in self._positions_on:
            self._positions_on[device] = self.positions.to(device)
        return self._positions_on[device]

    @classmethod
    def of(cls, nodes: Mapping[str, object]) -> "Scan":
        """Return the scan of nodes that the recipe of a feature store describes.

        Args:
            nodes: ``{"grid": [h, w]}``, see :meth:`grid`, or ``{"places": [[row, column], ...], "reach": distance}``,
                see :meth:`from_coordinates`.

        Raises:
            BadInput: anything else.

        Example:
            >>> Scan.of({"grid": [7, 7]}).shape, Scan.of({"places": [[0, 0], [0, 1], [1, 0.5]], "reach": 1.2}).shape
            ((7, 7), (3,))
        """
        match nodes:
            case {"grid": [int(height), int(width)], **others} if not others:
                return cls.grid(height, width)
            case {"places": [*places], "reach": int() | float() as reach, **others} if not others:
                if all(map(_are_coordinates, places)):
                    return cls.from_coordinates([(row, column) for row, column in places], reach)
        raise BadInput(
            f"nodes are {nodes}; they must be {{'grid': [h, w]}} or "
            "{'places': [[row, column], ...], 'reach': distance}"
        )

    @classmethod
    def grid(cls, height: int, width: int) -> "Scan":
        """Return the scan of an h x w grid from its four corners, equation (2).

        Node k is at row k // width, column k % width. From the top-left corner, a node receives
        the states of its left, upper-left and upper neighbours; the other corners are mirror images.

        Raises:
            BadInput: a side below 1.
        """
        if height < 1 or width < 1:
            raise BadInput(f"a grid of {height} x {width} has no nodes; both sides must be at least 1")
        scan = cls.from_coordinates([(row, column) for row in range(height) for column in range(width)], reach=1.5)
        scan.shape = (height, width)
        return scan

    @classmethod
    def from_coordinates(cls, coordinates: Sequence[tuple[float, float]], reach: float) -> "Scan":
        """Return the scan of nodes at any coordinates, such as sensors, from the four corners around them.

        Directions are top-left, top-right, bottom-left, bottom-right. Seen from its corner, a direction visits row by
        row; a node receives the states of the nodes within ``reach`` of it that are no further from the corner than
        itself, both in rows and in columns.

        Args:
            coordinates: (row, column) of each node, any numbers; rows grow downwards.
            reach: longest distance to a predecessor; 1.5 on a grid of unit steps gives equation (2).

        Raises:
            BadInput: no nodes, two nodes with the same coordinates, or a number that is not finite.

        Example:
            >>> Scan.from_coordinates([(0, 0), (0, 1), (1, 0.5)], reach=1.2).n_nodes
            3
        """
        if not all(map(math.isfinite, (reach, *(number for node in coordinates for number in node)))):
            raise BadInput("the reach of a scan and the coordinates of its nodes must be finite numbers")
        if len(set(coordinates)) != len(coordinates):
            raise BadInput("two nodes of a scan have the same coordinates; give each its own")
        orders, predecessors = [], []
        for down, right in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            seen = [(down * row, right * column) for row, column in coordinates]
            orders.append(sorted(range(len(seen)), key=seen.__getitem__))
            predecessors.append(
                [
                    [
                        other
                        for other, point in enumerate(seen)
                        if other != node and point[0] <= row and point[1] <= column
                        and math.dist(point, (row, column)) <= reach
                    ]
                    for node, (row, column) in enumerate(seen)
                ]
            )  # fmt: skip
        return cls(orders, predecessors)


def _are_coordinates(point: object) -> bool:
    match point:
        case [int() | float(), int() | float()]:
            return True
    return False


def _waves(
    order: Sequence[int], predecessors: Sequence[Sequence[int]], n_nodes: int, direction: int
) -> list[list[int]]:
    """Group nodes by the length of the longest path that leads to them, each group in the order of visits."""
    if sorted(order) != list(range(n_nodes)) or len(predecessors) != n_nodes:
        raise BadInput(f"scan direction {direction}: must visit each of the nodes 0 to {n_nodes - 1} once")
    depth: dict[int, int] = {}
    waves: list[list[int]] = []
    for node in order:
        late = [before for before in predecessors[node] if before not in depth]
        if late:
            raise BadInput(
                f"scan direction {direction}: node {node} receives from {late[0]}, which is not visited before it"
            )
        depth[node] = 1 + max((depth[before] for before in predecessors[node]), default=-1)
        waves.extend([] for _ in range(depth[node] + 1 - len(waves)))
        waves[depth[node]].append(node)
    return waves


def _handovers(
    wave: Sequence[Sequence[int]],
    predecessors: Sequence[Sequence[Sequence[int]]],
    location: Sequence[dict[int, tuple[int, int]]],
) -> tuple[Handover, ...]:
    """Join single edges into runs of neighbouring positions, and equal runs of all directions into one."""
    runs: list[set[tuple[int, int, int, int]]] = []
    for direction, wave_nodes in enumerate(wave):
        edges = {
            (*location[direction][before], offset)
            for offset, node in enumerate(wave_nodes)
            for before in predecessors[direction][node]
        }
        joined = set()
        while edges:
            source_wave, source, target = min(edges)
            length = 0
            while (source_wave, source + length, target + length) in edges:
                edges.discard((source_wave, source + length, target + length))
                length += 1
            joined.add((source_wave, source, target, length))
        runs.append(joined)
    shared = set.intersection(*runs)
    tagged = [(run, None) for run in sorted(shared)]
    tagged += [(run, direction) for direction, joined in enumerate(runs) for run in sorted(joined - shared)]
    return tuple(
        Handover(source_wave, slice(source, source + length), slice(target, target + length), direction)
        for (source_wave, source, target, length), direction in tagged
    )
