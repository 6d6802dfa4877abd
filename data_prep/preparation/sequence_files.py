"""The files of one sequence: which are wanted, missing or outdated."""

from dataclasses import dataclass, replace

from data_prep.backbones.backbone import BLOCK_ON_CPU, Backbone
from data_prep.datasets.catalogue import LabelledSequence
from data_prep.faces.variants import Variant
from data_prep.preparation.options import PrepareOptions
from data_prep.store.crop_store import CropStore
from data_prep.store.faces import FaceStore
from data_prep.store.sequence_store import SequenceStore, StoredSequence
from data_prep.store.store import FeatureStore


@dataclass(frozen=True)
class Settings:
    """What is to be made of every sequence, and where it goes.

    Attributes:
        options: the crops and variants.
        faces: where tracks go.
        crops: where crops and thumbnails go.
        other_crops: crops of other kinds that are there already.
        backbone: the frozen network; None makes crops alone.
        maps: where maps go; None makes crops alone.
    """

    options: PrepareOptions
    faces: FaceStore
    crops: CropStore
    other_crops: tuple[CropStore, ...] = ()
    backbone: Backbone | None = None
    maps: FeatureStore | None = None

    @property
    def stores(self) -> tuple[SequenceStore, ...]:
        """Where crops and maps go."""
        return (self.crops, self.maps) if self.maps else (self.crops,)

    @property
    def made(self) -> tuple[SequenceStore, ...]:
        """Those of :attr:`stores` that will hold a file of every sequence."""
        return tuple(store for store in self.stores if store is self.maps or self.keeps_crops)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Those whose maps are made."""
        return self.options.variants if self.maps else ()

    @property
    def block(self) -> int:
        """How many frames go through the work together."""
        return self.backbone.block if self.backbone else BLOCK_ON_CPU

    @property
    def keeps_crops(self) -> bool:
        """Whether crops are stored."""
        return self.options.keep_crops or self.maps is None

    @property
    def device(self) -> str:
        """Where the detector runs."""
        return self.options.device or (str(self.backbone.device) if self.backbone else "cpu")


@dataclass(frozen=True)
class Missing:
    """Files of a sequence that are still to be made.

    Attributes:
        original: the facts about the original sequence, with its number of frames.
        maps: the variants whose maps are missing.
        crops, thumbnails: whether these are.
    """

    original: StoredSequence
    maps: tuple[StoredSequence, ...]
    crops: bool
    thumbnails: bool

    def __bool__(self) -> bool:
        return bool(self.maps or self.crops or self.thumbnails)


@dataclass(frozen=True)
class SequenceFiles:
    """The files of one sequence in all stores.

    Args:
        settings: what is to be made of it.
        sequence: its name.
        original: the facts about it, number of frames aside; None where it cannot be used, and no file is wanted.
    """

    settings: Settings
    sequence: str
    original: StoredSequence | None = None

    @classmethod
    def of(cls, settings: Settings, sequence: LabelledSequence, source: str) -> "SequenceFiles":
        """Those of a sequence whose images have the checksum ``source``."""
        facts = (sequence.subject, sequence.emotion, 0, sequence.n_frames, source, sequence.fold)
        return cls(settings, sequence.name, StoredSequence(sequence.name, *facts))

    def remove_outdated(self) -> None:
        """Delete what is damaged, of other images or of another label, and everything where no file is wanted."""
        self.settings.faces.remove_outdated(self.sequence, self.original and self.original.source)
        self._remove_crops_and_maps(self.original)

    def remove_all_but_track(self) -> None:
        """Delete crops and maps of a sequence in which no frame shows a face; its track says so."""
        self._remove_crops_and_maps(None)

    def missing(self, n_frames: int) -> Missing:
        """Return what is to be made.

        Args:
            n_frames: number of the frames that are used, which only following the face tells.
        """
        settings, original = self.settings, replace(self.original, frames=n_frames)
        wanted = (replace(original, rotation=one.rotation, flip=one.flip) for one in settings.variants)
        return Missing(
            original,
            tuple(entry for entry in wanted if not settings.maps.holds(entry)),
            settings.keeps_crops and not settings.crops.holds(original),
            settings.options.contact_sheet and settings.crops.thumbnails(self.sequence, original.source) is None,
        )

    def _remove_crops_and_maps(self, current: StoredSequence | None) -> None:
        for store in (*self.settings.stores, *self.settings.other_crops):
            store.remove_outdated(self.sequence, current)
