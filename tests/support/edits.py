"""Edits of files, as hypothesis strategies: of bytes, of a file's place, and of what its format holds.

:func:`edits_of` takes a whole file and gives edits of it. An edit says in words what it does, so that a falsifying
example can be read and repeated.
"""

import copy
import csv
import io
import json
import math
import shutil
from dataclasses import dataclass, field

import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PLACES = ("absent", "folder", "full folder", "dangling link", "link to itself", "link to a folder", "link to a device")
"""What may stand where a file stood."""


class _Content(bytes):
    """A file's bytes, which no message repeats."""

    def __repr__(self):
        return f"<{len(self)} bytes>"


@dataclass(frozen=True)
class Edit:
    """A change of one file: new content, or something else in its place."""

    what: str
    content: bytes = field(repr=False, default=b"")
    place: str = "file"

    def __post_init__(self):
        object.__setattr__(self, "content", _Content(self.content))

    def apply(self, path):
        path.unlink()
        if self.place == "file":
            path.write_bytes(self.content)
        elif self.place in ("folder", "full folder"):
            path.mkdir()
            if self.place == "full folder":
                (path / "file").write_text("x")
        elif self.place != "absent":
            ends = {"dangling link": "nowhere", "link to itself": path.name, "link to a folder": "."}
            path.symlink_to(ends.get(self.place, "/dev/null"))


def edits_of(path):
    """Edits of a file, chosen by its format; half of them of single fields where it has such."""
    content = _Content(path.read_bytes())
    by_suffix = {
        ".json": _json_edits,
        ".yaml": _yaml_edits,
        ".csv": _table_edits,
        ".txt": _table_edits,
        ".safetensors": _safetensors_edits,
        ".track": _safetensors_edits,
        ".thumbnails": _safetensors_edits,
        ".training": _state_edits,
        ".finetuning": _state_edits,
        ".pth": _state_edits,
        ".pt": _state_edits,
    }
    places = st.sampled_from(PLACES).map(lambda place: Edit(f"{place} in place of {path.name}", place=place))
    fields = by_suffix.get(path.suffix)
    # Structure is where a reader goes wrong; most changes of bytes it refuses at once.
    return st.one_of(places, _byte_edits(content), *([fields(content)] * 3 if fields else ()))


@st.composite
def _byte_edits(draw, content):
    first = draw(st.integers(0, max(len(content) - 1, 0)))
    many = draw(st.sampled_from([1, 2, 7, 100]))
    noise = draw(st.binary(min_size=1, max_size=12))
    before, after = content[:first], content[first:]
    mask = draw(st.integers(1, 255))
    changes = {
        "flips bits of": lambda: before + bytes(byte ^ mask for byte in after[:1]) + after[1:],
        "removes bytes from": lambda: before + after[many:],
        "inserts bytes into": lambda: before + noise + after,
        "overwrites bytes of": lambda: before + noise + after[len(noise) :],
        "cuts short": lambda: before,
        "cuts the start of": lambda: after,
        "empties": lambda: b"",
        "doubles": lambda: content + content,
        "fills with zeros": lambda: bytes(len(content)),
        "puts a byte order mark before": lambda: b"\xef\xbb\xbf" + content,
        "ends lines as Windows does": lambda: content.replace(b"\n", b"\r\n"),
    }
    how = draw(st.sampled_from(sorted(changes)))
    return Edit(f"{how} {len(content)} bytes, at {first} ({many}, {noise!r}, {mask})", changes[how]())


# Documents: JSON, YAML, and the headers of safetensors files.


class Pairs(list):
    """An object's (key, value) pairs; a key may come twice."""


@dataclass(frozen=True)
class Raw:
    """Text that stands for a value as it is."""

    text: str


LONG = '"' + "long " * 5000 + '"'
_ODD = (
    "null", "true", "false", "0", "1", "-1", "2", "0.5", "1.0", "-0.0", "1e308", "9" * 30, "9" * 5000, '""', '" "',
    '"x"', '"0"', '"1"', '"anger"', '"neutral"', '"last"', '"STRNN"', '"../../../etc/passwd"', '"/etc/passwd"',
    '"a\\nb"', '"[red]x[/]"', '"<script>"', '"\\ud800"', '"\\u0000"', '"\\u202e"', '"%s {0}"', LONG, "[]", "[null]",
    "[[]]", "[1, 2]", '["x"]', "{}", '{"": null}', '{"x": {"x": {"x": []}}}', '{"__class__": "os.system"}',
)  # fmt: skip
ODD_JSON = (*_ODD, "NaN", "Infinity", "-Infinity", "1e999", "[" * 100_000 + "]" * 100_000)
_BOMB = "[&a [x, x, x, x, x, x, x, x, x]" + "".join(
    f", &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
ODD_YAML = (
    *_ODD, "~", ".nan", ".inf", "-.inf", "1e999", "2020-01-01", "2020-01-01 00:00:00", "0x10", "1_000", "!!binary aGk=",
    "!!set {a, b}", "!!python/object/apply:os.system [echo]", "!!python/name:os.system", "&loop [*loop]", "*unknown",
    "&loop {again: *loop}", "{[1, 2]: x}", "{1: 2, null: 3}", "? x", "|\n  x", "[" * 2000 + "]" * 2000, f"{_BOMB}]",
)  # fmt: skip


def text_of(value):
    """A document's text in JSON, which YAML is too."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {text_of(one)}" for key, one in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return json.dumps(value)


def _with_pairs(value):
    if isinstance(value, dict):
        return Pairs((key, _with_pairs(one)) for key, one in value.items())
    return [_with_pairs(one) for one in value] if isinstance(value, list) else value


def _json_edits(content):
    return _document_edits(json.loads(content), ODD_JSON).map(lambda edited: Edit(edited[0], edited[1].encode()))


def _yaml_edits(content):
    return _document_edits(yaml.safe_load(content), ODD_YAML).map(lambda edited: Edit(edited[0], edited[1].encode()))


@st.composite
def _document_edits(draw, document, odd=ODD_JSON):
    """(What is done, the text of the edited document.)"""
    root = [_with_pairs(copy.deepcopy(document))]
    container, place, where = root, 0, []
    while isinstance(container[place], list | tuple):
        value = container[place]
        value = value[1] if isinstance(container, Pairs) else value
        if not isinstance(value, list) or not value or (where and draw(st.booleans())):
            break
        container, place = value, draw(st.integers(0, len(value) - 1))
        where.append(container[place][0] if isinstance(container, Pairs) else place)
    of_object = isinstance(container, Pairs)
    value = container[place][1] if of_object else container[place]
    at = "".join(f"[{step!r}]" for step in where) or "the whole"
    how = draw(st.sampled_from(["another type", "a neighbouring value", "removed", "doubled", "renamed", "swapped"]))
    if how == "renamed" and of_object:
        names = [
            f"{container[place][0]}_",
            str(container[place][0]).upper(),
            "",
            "\ud800",
            *(key for key, _ in container),
        ]
        new = draw(st.sampled_from(names))
        container[place] = (new, value)
        return f"{at} renamed to {new!r}", text_of(root[0])
    if how == "removed" and where:
        del container[place]
    elif how == "doubled" and where:
        container.insert(place, copy.deepcopy(container[place]))
    elif how == "swapped" and where:
        other = draw(st.integers(0, len(container) - 1))
        if of_object:
            (one, first), (two, second) = container[place], container[other]
            container[place], container[other] = (one, second), (two, first)
        else:
            container[place], container[other] = container[other], container[place]
        how = f"swapped with that of number {other}"
    else:
        new = draw(_neighbours(value)) if how == "a neighbouring value" else Raw(draw(st.sampled_from(odd)))
        container[place] = (container[place][0], new) if of_object else new
        how = f"becomes {text_of(new)[:60]}"
    return f"{at} {how}", text_of(root[0])


def _neighbours(value):
    """Values that could stand there."""
    if isinstance(value, bool) or value is None:
        return st.sampled_from([True, False, None, 0, 1])
    if isinstance(value, int | float):
        near = [value + 1, value - 1, -value, value * 2, value / 2, math.nextafter(value, 9), str(value), float(value)]
        return st.sampled_from([*near, bool(value), [value], value * 1e6])
    if isinstance(value, str):
        return st.sampled_from([value + " ", value.upper(), value[:-1], value[::-1], value + "x", [value], value * 2])
    if isinstance(value, Pairs):
        return st.sampled_from([Pairs(), Pairs(value[::-1]), [one for _, one in value], Pairs([*value, ("x", 1)])])
    if isinstance(value, list):
        return st.sampled_from([[], value[::-1], value[1:], value * 2, [value], Pairs((str(n), n) for n in range(2))])
    return st.just(str(value))


# Tables.

_ODD_CELLS = (
    "", " ", "nan", "NaN", "None", "inf", "-inf", "-1", "0", "1", "2", "0.5", "1.0", "1e999", "9" * 30, "9" * 400,
    "true", "False", "anger", "surprise", "happiness", "test", "train", "validation", "S0_0", "S1", "../x",
    "/etc/passwd", "a,b", 'quote " inside', "two\nlines", "\x00", "\ud800", "é", "=1+1", "[red]x[/]", "<script>",
    "x" * 200_000, "0x10", "1_000", "+7", "07", "١", "1e-320", "0.30000000000000004",
)  # fmt: skip


@st.composite
def _table_edits(draw, content):
    rows = list(csv.reader(io.StringIO(content.decode())))
    rows = rows or [[]]
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, max(max(map(len, rows)) - 1, 0)))
    other = draw(st.integers(0, len(rows) - 1))
    cell = draw(st.sampled_from(_ODD_CELLS))
    how = draw(st.sampled_from(sorted(_TABLE_CHANGES)))
    _TABLE_CHANGES[how](rows, row, column, other, cell)
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    detail = f"row {row}, column {column}, row {other}, cell {cell[:40]!r}"
    return Edit(f"{how} ({detail})", written.getvalue().encode(errors="surrogatepass"))


def _put(rows, row, column, cell):
    if column < len(rows[row]):
        rows[row][column] = cell


def _of_every_row(change):
    def changed(rows, row, column, other, cell):
        for one in rows:
            if column < len(one):
                change(one, column, other % len(one))

    return changed


def _swap(row, one, other):
    row[one], row[other] = row[other], row[one]


_TABLE_CHANGES = {
    "replaces a cell": lambda rows, row, column, other, cell: _put(rows, row, column, cell),
    "replaces a cell by another's": lambda rows, row, column, other, cell: _put(
        rows, row, column, rows[other][column] if column < len(rows[other]) else ""
    ),
    "replaces a column": lambda rows, row, column, other, cell: [
        _put(rows, n, column, cell) for n in range(1, len(rows))
    ],
    "renames a column": lambda rows, row, column, other, cell: _put(rows, 0, column, cell),
    "removes a row": lambda rows, row, column, other, cell: rows.pop(row),
    "doubles a row": lambda rows, row, column, other, cell: rows.insert(other, list(rows[row])),
    "swaps rows": lambda rows, row, column, other, cell: _swap(rows, row, other),
    "keeps the header alone": lambda rows, row, column, other, cell: rows.__delitem__(slice(1, None)),
    "lengthens a row": lambda rows, row, column, other, cell: rows[row].append(cell),
    "shortens a row": lambda rows, row, column, other, cell: rows[row].__delitem__(slice(column, None)),
    "puts an empty row in": lambda rows, row, column, other, cell: rows.insert(row, []),
    "removes a column": _of_every_row(lambda row, column, other: row.pop(column)),
    "doubles a column": _of_every_row(lambda row, column, other: row.insert(other, row[column])),
    "swaps columns": _of_every_row(_swap),
}


# Tensors.

_PATTERNS = {
    "zeros": b"\0", "ones": b"\xff", "NaN": b"\0\0\xc0\x7f", "NaN in half": b"\0\x7e", "infinity": b"\0\0\x80\x7f",
}  # fmt: skip
_RETYPED = {"F16": "BF16", "F32": "I32", "F64": "I64", "U8": "I8", "I64": "F64", "BF16": "F16"}


def _safetensors_edits(content):
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    nested = []
    for name, text in header.get("__metadata__", {}).items():
        try:
            document = json.loads(text)
        except ValueError:
            continue
        if isinstance(document, list | dict):
            nested.append(_facts_edits(header, data, name, document))
    facts = header.get("__metadata__", {})
    whole = _document_edits(header).map(lambda edited: Edit(f"header {edited[0]}", _safetensors(edited[1], data)))
    of_facts = _document_edits(facts).map(
        lambda edited: Edit(f"facts {edited[0]}", _with_facts(header, edited[1], data))
    )
    return st.one_of(whole, of_facts, of_facts, _tensor_edits(header, data), _length_edits(content), *nested)


def _safetensors(header, data):
    text = header.encode(errors="surrogatepass")
    return len(text).to_bytes(8, "little") + text + data


def _with_facts(header, facts, data):
    pairs = _with_pairs({**header, "__metadata__": None})
    pairs = Pairs((name, Raw(facts) if name == "__metadata__" else value) for name, value in pairs)
    return _safetensors(text_of(pairs), data)


def _facts_edits(header, data, name, document):
    def edited(what, text):
        facts = {**header["__metadata__"], name: text}
        return Edit(f"fact {name}: {what}", _safetensors(json.dumps({**header, "__metadata__": facts}), data))

    return _document_edits(document).map(lambda pair: edited(*pair))


@st.composite
def _tensor_edits(draw, header, data):
    names = sorted(name for name in header if name != "__metadata__")
    if not names:
        return Edit("no tensor to edit", _safetensors(json.dumps(header), data))
    header, name = copy.deepcopy(header), draw(st.sampled_from(names))
    facts = header[name]
    (first, last), shape = facts["data_offsets"], facts["shape"]
    patterns = {
        "zeros": b"\0",
        "ones": b"\xff",
        "NaN": b"\0\0\xc0\x7f",
        "NaN in half": b"\0\x7e",
        "infinity": b"\0\0\x80\x7f",
    }
    how = draw(
        st.sampled_from([*patterns, "one NaN", "flattened", "transposed", "retyped", "one frame less", "shuffled"])
    )
    if how in _PATTERNS:
        data = data[:first] + (_PATTERNS[how] * (last - first))[: last - first] + data[last:]
    elif how == "one NaN":
        data = data[:first] + _PATTERNS["NaN in half"] + data[first + 2 :] if last - first > 2 else data
    elif how == "flattened":
        facts["shape"] = [math.prod(shape)]
    elif how == "transposed":
        facts["shape"] = shape[::-1]
    elif how == "retyped":
        facts["dtype"] = _RETYPED.get(facts["dtype"], "BOOL")
    elif how == "one frame less" and shape and shape[0] > 1 and last == len(data):
        cut = (last - first) // shape[0]
        facts["shape"], facts["data_offsets"], data = [shape[0] - 1, *shape[1:]], [first, last - cut], data[:-cut]
    else:
        data = data[:first] + data[first:last][::-1] + data[last:]
    return Edit(f"tensor {name} {how}", _safetensors(json.dumps(header), data))


def _length_edits(content):
    lengths = st.sampled_from([0, 1, 8, len(content), 2**31, 2**63, 2**64 - 1])
    return lengths.map(lambda n: Edit(f"header of {n} bytes", n.to_bytes(8, "little") + content[8:]))


_ODD_VALUES = (
    None, True, 0, 1, -1, 10**30, 0.5, math.nan, math.inf, "", "x", "\ud800"[:0], [], [None], {}, {"x": 1}, (), b"x",
    torch.zeros(0), torch.zeros(()), torch.full((2, 2), math.nan), torch.zeros(3, dtype=torch.int64), 1j,
)  # fmt: skip


@st.composite
def _state_edits(draw, content):
    """Of a file of ``torch.save``: one value of the nested dicts, lists and tensors in it."""
    root = [torch.load(io.BytesIO(content), weights_only=True)]
    container, place, where = root, 0, []
    while isinstance(container[place], dict | list) and container[place] and (not where or draw(st.booleans())):
        container = container[place]
        keys = list(container) if isinstance(container, dict) else range(len(container))
        place = keys[draw(st.integers(0, len(keys) - 1))]
        where.append(place)
    value = container[place]
    how = draw(st.sampled_from(["another type", "removed", "another key", "another tensor"]))
    if how == "removed" and where:
        del container[place]
    elif how == "another key" and isinstance(container, dict):
        container[draw(st.sampled_from(["x", 0, None, f"{place}_"]))] = container.pop(place)
    elif how == "another tensor" and isinstance(value, torch.Tensor):
        how, container[place] = draw(_other_tensors(value))
    else:
        new = draw(st.sampled_from(_ODD_VALUES))
        container[place], how = new, f"becomes {str(new)[:40]}"
    written = io.BytesIO()
    torch.save(root[0], written)
    return Edit(f"state {where} {how}", written.getvalue())


def _other_tensors(value):
    made = {
        "all NaN": lambda: torch.full_like(value, math.nan) if value.is_floating_point() else value * 0,
        "one row less": lambda: value[1:] if value.ndim else value.reshape(1),
        "doubles": value.double,
        "bytes": lambda: value.to(torch.uint8),
        "transposed": lambda: value.permute(*range(value.ndim)[::-1]).contiguous(),
        "expanded": lambda: value.flatten()[:1].expand(10**6) if value.numel() else value,
        "huge": lambda: value * 1e30,
        "on no device": lambda: value.to("meta"),
    }
    return st.sampled_from(sorted(made)).map(lambda how: (how, made[how]()))


def with_edits(n, pristine, file, commands, check, tmp_path, derandomize=False):
    """Edit one file of a fresh copy of a folder ``n`` times, and let one of the commands read it each time.

    Args:
        n: how many edits.
        pristine: the folder, which stays as it is.
        file: the file in it; the first one that a pattern matches.
        commands: a command is drawn for each edit.
        check: called with the edited copy and the command.
        tmp_path: where the copy lies, under the folder's own name.
        derandomize: make the same edits in every run.
    """
    found = [path.relative_to(pristine) for path in sorted(pristine.glob(file))]
    assert found, f"{pristine.name} holds no {file}: nothing would be edited"
    target = found[0]
    copied = tmp_path / "edited" / pristine.name

    @settings(
        max_examples=n, deadline=None, derandomize=derandomize, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(edits_of(pristine / target), st.sampled_from(commands))
    def holds(edit, command):
        shutil.rmtree(copied.parent, ignore_errors=True)
        shutil.copytree(pristine, copied)
        edit.apply(copied / target)
        check(copied, command)

    holds()
