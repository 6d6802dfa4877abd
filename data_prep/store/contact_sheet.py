"""A contact sheet: first, middle and apex crop of every sequence, to see at a glance what the networks see.

It shows the subjects' faces: it is only for the holder of the data set and says so on each page. No other output uses
its pictures.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_prep.atomic_files import written_whole

THUMBNAIL = 96
"""Side of a crop in pixels: an expression can still be told."""

COLUMNS, ROWS = 4, 10
"""Sequences across and down a page, which is then 1,222 x 1,312 pixels; CK+ takes 9 pages. The last ends with its last
row."""

LINE, GAP = 18, 14
"""Height of a line of text and space between sequences, in pixels."""

WARNING = "Shows subjects' faces: a local file, not to be passed on."


class ContactSheet:
    """Pages of thumbnails, ``contact-sheet-01.png`` and so on, written as they fill; only one is held in memory.

    On closing, pages of an earlier, longer sheet in the same folder are removed; if its block raises, unwritten pages
    are discarded.

    Args:
        folder: an existing folder that the pages are written to.

    Example:
        >>> with ContactSheet(Path("features")) as sheet:  # doctest: +SKIP
        ...     sheet.add("S005_001", "disgust", [first, middle, apex])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages: list[Path] = []
        self._page: Image.Image | None = None
        self._on_page = 0
        self._font = ImageFont.load_default(12)

    def __enter__(self) -> "ContactSheet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()

    def add(self, name: str, emotion: str, crops: Sequence[np.ndarray]) -> None:
        """Add a sequence in the next cell of the page.

        Args:
            name: the sequence's.
            emotion: its label.
            crops: three uint8 arrays (n, n, 3), RGB: first frame, middle, apex.
        """
        if self._page is None:
            width = GAP + COLUMNS * (3 * THUMBNAIL + GAP)
            self._page = Image.new("RGB", (width, GAP + LINE + ROWS * (LINE + THUMBNAIL + GAP)), "white")
            self._write(GAP, GAP // 2, f"{WARNING} First, middle and apex frame.")
        row, column = divmod(self._on_page, COLUMNS)
        left, top = GAP + column * (3 * THUMBNAIL + GAP), GAP + LINE + row * (LINE + THUMBNAIL + GAP)
        self._write(left, top, f"{_shortened(name, 28)}  {emotion}")
        for place, crop in enumerate(crops):
            self._page.paste(Image.fromarray(thumbnail(crop)), (left + place * THUMBNAIL, top + LINE))
        self._on_page += 1
        if self._on_page == COLUMNS * ROWS:
            self._save()

    def close(self) -> None:
        """Write the last page."""
        if self._page is not None:
            self._save()
        for page in self.folder.glob("contact-sheet-*.png"):
            if page not in self.pages:
                page.unlink()

    def _write(self, left: int, top: int, text: str) -> None:
        ImageDraw.Draw(self._page).text((left, top), text, "black", self._font)

    def _save(self) -> None:
        path = self.folder / f"contact-sheet-{len(self.pages) + 1:02}.png"
        rows = -(-self._on_page // COLUMNS)
        page = self._page.crop((0, 0, self._page.width, GAP + LINE + rows * (LINE + THUMBNAIL + GAP)))
        with written_whole(path) as unfinished:
            page.save(unfinished, "PNG")
        self.pages.append(path)
        self._page, self._on_page = None, 0


def thumbnail(crop: np.ndarray) -> np.ndarray:
    """Shrink a crop uint8 (n, n, 3) to :data:`THUMBNAIL` pixels a side."""
    return cv2.resize(crop, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def _shortened(text: str, length: int) -> str:
    """Shorten a name at its beginning, because its end identifies the sequence."""
    return text if len(text) <= length else "..." + text[3 - length :]
