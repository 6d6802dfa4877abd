"""The backbone that computed a store's maps, loaded from what the store, or a run over it, records about it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from data_prep.backbones.backbone import Backbone, grid_of, load_backbone
from data_prep.backbones.preprocessing import Preprocessing
from data_prep.backbones.weights import PUBLISHED, load_file
from data_prep.errors import BadInput


def recorded_backbone(
    recipe: Mapping[str, Any], where: Path, weights: str | None = None, device: torch.device | str = "cpu"
) -> Backbone:
    """Load the backbone that computed a store's features.

    Args:
        recipe: of the features, see :func:`data_prep.preparation.recipe.recipe`.
        where: the file or folder that records them, for messages.
        weights: the weights file, if the features were computed with a local one; a recipe does not contain its path.
        device: device of the backbone.

    Raises:
        BadInput: the weights are not available, or are not those of the features.
        KeyError: the recipe lacks an entry.
    """
    known_as, checksum, maps = recipe["weights"], recipe["weights_sha256"], recipe["maps"]
    if weights is None and known_as not in PUBLISHED:
        raise BadInput(
            f"{where}: its features were made with the weights file {known_as} (SHA-256 {checksum[:12]}...); "
            "give that file's path with --weights-file"
        )
    if weights is not None and weights not in PUBLISHED:
        _require_file(recipe, where, Path(weights))
    grid, preprocessing = grid_of(maps, recipe["crop"]["pixels"]), Preprocessing.of_json(recipe["preprocessing"])
    backbone = load_backbone(
        recipe["backbone"], weights or known_as, maps, device, grid=grid, preprocessing=preprocessing
    )
    if checksum != backbone.weights.sha256:
        raise BadInput(
            f"{where}: was made with other features (weights {known_as}, SHA-256 {checksum[:12]}...); "
            "give their file with --weights-file"
        )
    return backbone


def _require_file(recipe: Mapping[str, Any], where: Path, path: Path) -> None:
    """Refuse a file that is not the features' own, and say of what network it is."""
    known_as, checksum, given = recipe["weights"], recipe["weights_sha256"], load_file(path)
    if given.sha256 == checksum:
        return
    remedy = "omit --weights-file" if known_as in PUBLISHED else "give the path of that file with --weights-file"
    raise BadInput(
        f"{where}: its features were made with the {recipe['backbone']} of {known_as} (SHA-256 {checksum[:12]}...), "
        f"and {path} holds a {given.architecture} (SHA-256 {given.sha256[:12]}...); {remedy}"
    )
