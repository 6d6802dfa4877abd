"""What all readers of data sets have in common: hints, refused options, links that lead out."""

import json

import pytest
from layouts import HEADER, write_image, write_manifest, write_oulu, write_session

from data_prep.datasets.registry import read_dataset
from data_prep.errors import BadInput
from face_strnn.cli.program import main


def hints(capsys, dataset, root):
    assert main(["check", "--dataset", dataset, "--root", str(root), "--json"]) == 2
    said = capsys.readouterr()
    assert not any(problem["hint"] for problem in json.loads(said.out)["problems"]) and "--fix-hints" in said.err
    assert main(["check", "--dataset", dataset, "--root", str(root), "--json", "--fix-hints"]) == 2
    found = {problem["path"]: problem["hint"] for problem in json.loads(capsys.readouterr().out)["problems"]}
    assert all(found.values())
    return found


def test_hints_for_oulu_casia_say_what_to_rename_and_what_to_unpack(tmp_path, capsys):
    part = write_oulu(tmp_path, subjects=range(1, 81), n_frames=1) / "VL" / "Strong"
    (part / "P002" / "Anger").rename(part / "P002" / "Angre")
    (part / "P003" / "Fear" / "000.jpeg").write_bytes(b"")
    (part / "P004" / "Fear" / "000.jpeg").unlink()
    found = hints(capsys, "oulu-casia", tmp_path)
    assert found == {
        str(part / "P002" / "Angre"): f"rename {part / 'P002' / 'Angre'} to {part / 'P002' / 'Anger'}, or move "
        f"{part / 'P002' / 'Angre'} out of {tmp_path}",
        str(tmp_path): f"unpack {part / 'P002' / 'Anger'} again",
        str(part / "P003" / "Fear" / "000.jpeg"): f"restore {part / 'P003' / 'Fear' / '000.jpeg'} from where the data "
        "set came from",
        str(part / "P004" / "Fear"): f"put P004_fear's images in {part / 'P004' / 'Fear'}",
    }


def test_hints_for_the_other_layouts_name_the_file_and_what_to_do_with_it(tmp_path, capsys):
    images = tmp_path / "images"
    stray = write_image(images / "anger" / "portrait.png")
    write_image(images / "anger" / "P1_1_1.png")
    other = write_image(images / "fear" / "P1_1_2.png")
    write_image(images / "suprise" / "P1_2_1.png")
    found = hints(capsys, "image-folder", images)
    assert str(stray) in found[str(stray)] and "S010_004_00000017.png" in found[str(stray)]
    assert str(images / "anger") in found[str(other)]
    assert str(images / "surprise") in found[str(images / "suprise")]
    sessions = write_session(tmp_path / "mmi", 1).parent
    (sessions / "1" / "session.xml").write_text("<session>")
    assert "download session 1 again" in hints(capsys, "mmi", tmp_path / "mmi")[str(sessions / "1")]
    clips = tmp_path / "clips"
    write_image(clips / "first" / "1.png")
    (clips / "first" / "2.png").symlink_to(stray)
    rows = ["P1,1,hapiness,first", "P1,2,anger,frist", "P1,3,anger,/etc", "P1,4,anger,first"]
    file = write_manifest(clips, HEADER + "".join(f"{row}\n" for row in rows))
    assert hints(capsys, "manifest", file) == {
        f"{file}:2": "in line 2, write happiness for hapiness",
        f"{file}:3": "in line 3, write first for frist",
        f"{file}:4": "in line 4, correct this problem, or delete the line",
        str(clips / "first" / "2.png"): f"copy {stray} over the link {clips / 'first' / '2.png'}",
    }


def test_options_of_another_data_set_are_refused(tmp_path):
    with pytest.raises(BadInput, match="--part VL/Strong: mmi has no parts"):
        read_dataset("mmi", tmp_path, "VL/Strong")
    with pytest.raises(BadInput, match="--whole: ckplus is always used whole"):
        read_dataset("ckplus", tmp_path, whole=True)
    with pytest.raises(BadInput, match="no data set named CASME"):
        read_dataset("CASME", tmp_path)


@pytest.mark.parametrize("dataset", ["oulu-casia", "mmi", "image-folder", "manifest"])
def test_a_folder_that_is_not_there_is_refused(tmp_path, dataset):
    with pytest.raises(BadInput, match="absent: no such f"):
        read_dataset(dataset, tmp_path / "absent")


@pytest.mark.parametrize("dataset", ["oulu-casia", "image-folder", "manifest"])
def test_links_out_of_a_data_set_are_problems_in_every_layout(tmp_path, dataset):
    outside = write_image(tmp_path / "outside" / "000.jpeg")
    root = tmp_path / "data"
    folder = {"oulu-casia": "VL/Strong/P001/Anger", "image-folder": "anger", "manifest": "clip"}[dataset]
    name = {"image-folder": "P1_1_{}.jpeg"}.get(dataset, "{}.jpeg")
    write_image(root / folder / name.format(1))
    (root / folder / name.format(2)).symlink_to(outside)
    write_manifest(root, f"{HEADER}P1,1,anger,clip\n") if dataset == "manifest" else None
    catalogue = read_dataset(dataset, root)
    assert [problem.path.name for problem in catalogue.problems] == [name.format(2)]
    assert "leads out of the data set" in catalogue.problems[0].what
    assert [len(one.frames) for one in catalogue.sequences] == [1]
