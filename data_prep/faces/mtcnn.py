"""The three stages of MTCNN (Zhang et al. 2016) on batches of frames: proposal, refinement, output with landmarks.

The networks, their weights and the arithmetic of boxes are facenet-pytorch's. Only the input differs from its
``MTCNN.detect``: OpenCV shrinks images as bytes, from a halved frame where its resolution suffices, and tensors are
channels-last, which makes max pooling on a CPU many times faster. A different one of several overlapping candidates may
therefore win, which changes a face's box by as much as it varies between consecutive frames.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import batched_nms_numpy, bbreg, generateBoundingBox, pad, rerec
from torch import nn
from torchvision.ops import batched_nms

CELL = 12
"""Receptive field of the first stage in pixels: at a scale of ``CELL / size`` it finds faces of ``size``."""

OVERLAPS = (0.5, 0.7, 0.6)
"""Overlap above which non-maximum suppression discards the weaker candidate: within a pyramid level, before the second
stage, before the third. The original's last value, 0.7, would give the third and most expensive stage half as many more
candidates of the same face."""

PATCHES = 256
"""Candidates per call of a later stage; it bounds memory where a texture gives thousands."""


class Candidates(NamedTuple):
    """Boxes that a stage accepted, on the networks' device.

    Attributes:
        boxes: float32 (n, 5): left, top, right, bottom in pixels, probability.
        frames: int64 (n,), the frame of each.
    """

    boxes: torch.Tensor
    frames: torch.Tensor


class Judged(NamedTuple):
    """Faces as the last stage returns them.

    Attributes:
        boxes: float64 (n, 4), left, top, right, bottom in pixels.
        probabilities: float64 (n,).
        landmarks: float64 (n, 5, 2), x and y in pixels of the eye on the image's left, the eye on its right, the nose,
            the mouth's left and right corner.
        frames: int64 (n,), the frame of each.
    """

    boxes: np.ndarray
    probabilities: np.ndarray
    landmarks: np.ndarray
    frames: np.ndarray


class Cascade:
    """MTCNN's networks with the weights and thresholds of facenet-pytorch.

    Args:
        device: device of the networks. Crops are always made and resized on the CPU.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        mtcnn = MTCNN(device=self.device)
        self._thresholds, self._factor = mtcnn.thresholds, mtcnn.factor
        self._pnet, self._rnet, self._onet = (
            network.to(memory_format=torch.channels_last) for network in (mtcnn.pnet, mtcnn.rnet, mtcnn.onet)
        )

    @torch.inference_mode()
    def detect(self, frames: Sequence[np.ndarray], smallest: int) -> Judged:
        """Detect all faces with all three stages.

        Args:
            frames: uint8 (height, width, 3), RGB, all of one size.
            smallest: side in pixels of the smallest face to find, at least 12.

        Returns:
            The faces of all frames; of overlapping ones only the most probable.
        """
        octaves = _Octaves(frames)
        return self._judge(octaves, self._refine(octaves, self._propose(octaves, smallest)))

    @torch.inference_mode()
    def judge(self, frames: Sequence[np.ndarray], boxes: np.ndarray, indices: np.ndarray) -> Judged:
        """Refine boxes near a face with the last two stages.

        Args:
            frames: uint8 (height, width, 3), RGB, all of one size.
            boxes: float (n, 4), left, top, right, bottom in pixels.
            indices: int (n,), the frame of each.

        Returns:
            As :meth:`detect`.
        """
        near = torch.ones(len(boxes), 5)
        near[:, :4] = torch.as_tensor(boxes)
        candidates = Candidates(rerec(near).to(self.device), torch.as_tensor(indices, device=self.device))
        octaves = _Octaves(frames)
        return self._judge(octaves, self._refine(octaves, candidates))

    def _propose(self, octaves: "_Octaves", smallest: int) -> Candidates:
        """First stage: a small fully convolutional network on a pyramid of each frame."""
        height, width = octaves.height, octaves.width
        found = []
        scale = CELL / smallest
        while min(height, width) * scale >= CELL:
            size = (int(width * scale + 1), int(height * scale + 1))
            whole = (0, 0, width, height)
            level = [octaves.cut(i, whole, size) for i in range(len(octaves))]
            offsets, probabilities = self._pnet(self._images(level))
            boxes, inds = generateBoundingBox(offsets, probabilities[:, 1], scale, self._thresholds[0])
            picked = batched_nms(boxes[:, :4], boxes[:, 4], inds, OVERLAPS[0])
            found.append((boxes[picked], inds[picked]))
            scale *= self._factor
        boxes, inds = (torch.cat(parts) for parts in zip(*found, strict=True))
        picked = batched_nms(boxes[:, :4], boxes[:, 4], inds, OVERLAPS[1])
        boxes, inds = boxes[picked], inds[picked]
        sizes = (boxes[:, 2:4] - boxes[:, :2]).repeat(1, 2)
        moved = boxes[:, :4] + boxes[:, 5:9] * sizes
        return Candidates(rerec(torch.cat([moved, boxes[:, 4:5]], 1)), inds)

    def _refine(self, octaves: "_Octaves", candidates: Candidates) -> Candidates:
        """Second stage: discards most candidates and refines the boxes of the others."""
        (boxes, frames), (offsets,) = self._accepted(octaves, candidates, 24, self._rnet, self._thresholds[1])
        picked = batched_nms(boxes[:, :4], boxes[:, 4], frames, OVERLAPS[2])
        return Candidates(rerec(bbreg(boxes[picked], offsets[picked])), frames[picked])

    def _judge(self, octaves: "_Octaves", candidates: Candidates) -> Judged:
        """Third stage: the final probability, box and landmarks."""
        (boxes, frames), (offsets, landmarks) = self._accepted(octaves, candidates, 48, self._onet, self._thresholds[2])
        shares = landmarks.view(-1, 2, 5).transpose(1, 2)  # (n, 5, 2), of the box
        landmarks = shares * (boxes[:, None, 2:4] - boxes[:, None, :2] + 1) + boxes[:, None, :2] - 1
        boxes = bbreg(boxes, offsets)
        picked = batched_nms_numpy(boxes[:, :4], boxes[:, 4], frames, 0.7, "Min")
        boxes, landmarks, frames = (part[picked].cpu().numpy() for part in (boxes, landmarks, frames))
        return Judged(boxes[:, :4].astype(float), boxes[:, 4].astype(float), landmarks.astype(float), frames)

    def _accepted(
        self, octaves: "_Octaves", candidates: Candidates, side: int, network: nn.Module, threshold: float
    ) -> tuple[Candidates, list[torch.Tensor]]:
        """Run a network on the crop of each candidate, and discard those outside the frame or below the threshold.

        Returns:
            The others, with the network's probability, and the network's further outputs for them.
        """
        top, bottom, left, right = pad(candidates.boxes[:, :4].clone(), octaves.width, octaves.height)
        left, top = left - 1, top - 1
        inside = np.flatnonzero((bottom > top) & (right > left))
        kept = torch.from_numpy(inside).to(self.device)
        candidates = Candidates(candidates.boxes[kept], candidates.frames[kept])
        patches = [
            octaves.cut(frame, (left[k], top[k], right[k], bottom[k]), (side, side))
            for k, frame in zip(inside, candidates.frames.tolist(), strict=True)
        ]
        if not patches:  # these networks accept no empty batch
            outputs = [output[:0] for output in network(torch.zeros(1, 3, side, side, device=self.device))]
        else:
            batches = [network(self._images(patches[i : i + PATCHES])) for i in range(0, len(patches), PATCHES)]
            outputs = [torch.cat(parts) for parts in zip(*batches, strict=True)]
        *others, probabilities = outputs
        passed = probabilities[:, 1] > threshold
        boxes = torch.cat([candidates.boxes[passed, :4], probabilities[passed, 1:]], 1)
        return Candidates(boxes, candidates.frames[passed]), [output[passed] for output in others]

    def _images(self, images: list[np.ndarray]) -> torch.Tensor:
        """Bytes (height, width, 3) -> float32 (n, 3, height, width) from -1 to 1, channels last in memory."""
        stacked = torch.from_numpy(np.stack(images)).to(self.device)
        return (stacked.permute(0, 3, 1, 2).float() - 127.5) * 0.0078125


class _Octaves:
    """Frames of one size and their octaves, each computed when first needed.

    Area averaging of a face of 250 pixels to 24 reads all of its pixels, for each of a dozen candidates; from a frame
    at a quarter of its size it reads a sixteenth of them.
    """

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        if len({frame.shape for frame in frames}) > 1:
            raise ValueError("frames of one batch must have one size")
        self.height, self.width = frames[0].shape[:2]
        self._octaves = [[frame] for frame in frames]

    def __len__(self) -> int:
        return len(self._octaves)

    def cut(self, frame: int, box: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
        """Resize a part of a frame, from the smallest octave with at least twice the pixels in each direction.

        Args:
            frame: its index.
            box: left, top, right, bottom in pixels, within the frame.
            size: width and height of the result.
        """
        octaves = self._octaves[frame]
        left, top, right, bottom = box
        octave = 0
        while min((right - left) / size[0], (bottom - top) / size[1]) >= 2 * 2 ** (octave + 1):
            octave += 1
            if octave == len(octaves):
                last = octaves[-1]
                halves = (max(last.shape[1] // 2, 1), max(last.shape[0] // 2, 1))
                octaves.append(cv2.resize(last[: 2 * halves[1], : 2 * halves[0]], halves, interpolation=cv2.INTER_AREA))
        step = 2**octave
        part = octaves[octave][top // step : -(-bottom // step), left // step : -(-right // step)]
        interpolation = cv2.INTER_AREA if part.shape[1] > size[0] else cv2.INTER_LINEAR
        return cv2.resize(part, size, interpolation=interpolation)
