"""The paper's experiments in one go, on random maps and tiny networks: through the program, interrupted, refused."""

import csv
import html
import json
import re
import shutil
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lock_holder import lock_held
from runs import plan_of

from data_prep.datasets.emotions import EMOTIONS
from data_prep.errors import BadInput
from data_prep.store.store import FeatureStore, StoredSequence
from face_strnn.cli.program import main
from face_strnn.config import Config, NetworkConfig, TrainingConfig
from face_strnn.evaluation.learners import stacked_on_maps
from face_strnn.evaluation.metrics import summarise
from face_strnn.evaluation.significance import holm, mcnemar
from face_strnn.experiments import reproduction
from face_strnn.experiments.pooled_baselines import NetworkClassifier
from face_strnn.experiments.published import PUBLISHED_ABLATIONS
from face_strnn.experiments.reproduction import Reproduction
from face_strnn.experiments.results import COLUMNS, results_of
from face_strnn.report.environment import escape_latex
from face_strnn.report.latex_table import latex_table

SUBJECTS, FOLDS = 6, 3
NETWORK = NetworkConfig(
    input_size=4, grid=(2, 2), spatial_hidden=3, spatial_output=3, spatial_projection=2, temporal_hidden=4, length=5,
    temporal_projection=2,
)  # fmt: skip
CONFIG = Config(NETWORK, TrainingConfig(epochs=2, batch_size=8, learning_rate=0.02))
NAMES = ["strnn", "srnn", "trnn", "non-sparse", "sigmoid", "no-rotation", "svm", "logistic", "lstm", "cnn"]


def write_store(folder, rotations=(0, 7), seed=0, data="synthetic"):
    """Six subjects of three sequences each, whose last frame hints at one of three emotions."""
    rng = np.random.default_rng(seed)
    store = FeatureStore.create(folder, "random", {"data": data, "seed": seed})
    for subject in range(SUBJECTS):
        for number in range(3):
            label = (subject + number) % 3
            for rotation in rotations:
                maps = rng.normal(size=(2 + number, 2, 2, 4))
                maps[-1, ..., label] += 1.5
                entry = StoredSequence(
                    f"S{subject}_{number}", f"S{subject}", EMOTIONS[label], rotation, len(maps), f"{seed}" * 64
                )
                store.write(entry, torch.from_numpy(maps).half())
    store.complete()
    return FeatureStore.open(store.folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features"))


def options(store, out, *more):
    sizes = {name: value for name, value in asdict(NETWORK).items() if isinstance(value, int)}
    given = [text for name, value in sizes.items() for text in (f"--network.{name}", str(value))]
    return [
        *("reproduce", "--features", str(store.folder), "--out", str(out), "--folds", str(FOLDS), "--epochs", "2"),
        *(*given, "--network.grid", "[2,2]", "--training.batch_size", "8", *more),
    ]


@pytest.fixture(scope="module")
def done(store, tmp_path_factory):
    """All experiments with two seeds, through the program."""
    out = tmp_path_factory.mktemp("reproduction") / "paper"
    assert main(options(store, out, "--seeds", "2", "--with-std")) == 0
    return out


def predictions_of(out, name):
    """Every cell's predictions of a method, by seed."""
    files = sorted((out / name).glob("seed-*/predictions.csv")) or [out / name / "predictions.csv"]
    return [pd.read_csv(file, dtype={"subject": str}) for file in files]


def right_of(tables):
    """By sequence, the share of seeds that are right."""
    rows = pd.concat(tables)
    return (rows["truth"] == rows["prediction"]).groupby(rows["sequence"]).mean()


def test_every_experiment_has_a_row_for_each_seed_and_one_for_their_mean(done):
    table = pd.read_csv(done / "results.csv")
    assert tuple(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["method"])) == NAMES
    for name, rows in table.groupby("method"):
        seeded = name not in ("svm", "logistic")
        assert rows["seed"].tolist() == (["0", "1", "mean"] if seeded else ["mean"])
        assert (rows["n_sequences"] == 3 * SUBJECTS).all() and (rows["n_subjects"] == SUBJECTS).all()
        assert (rows["seconds"] >= 0).all()
    of_networks = table[table["group"] != "baseline"]
    assert (of_networks["audit"] == "10 of 14 checks passed, 4 declared").all()


def test_the_figures_are_those_of_the_cells_predictions(done):
    table = pd.read_csv(done / "results.csv").set_index(["method", "seed"])
    reference = predictions_of(done, "strnn")
    p_values = []
    for name in NAMES:
        tables = predictions_of(done, name)
        row, summary = table.loc[(name, "mean")], summarise(pd.concat(tables), EMOTIONS)
        assert row["accuracy"] == pytest.approx(summary["accuracy"])
        assert row["uar"] == pytest.approx(summary["mean_class_recall"])
        assert [row["accuracy_low"], row["accuracy_high"]] == pytest.approx(summary["accuracy_interval"])
        assert [row["uar_low"], row["uar_high"]] == pytest.approx(summary["mean_class_recall_interval"])
        assert row["mean_over_folds"] == pytest.approx(summary["mean_fold_accuracy"])
        by_seed = [(one["truth"] == one["prediction"]).mean() for one in tables]
        if len(tables) > 1:
            assert row["std_over_seeds"] == pytest.approx(np.std(by_seed, ddof=1))
            assert [table.loc[(name, str(seed)), "accuracy"] for seed in (0, 1)] == pytest.approx(by_seed)
        else:
            assert np.isnan(row["std_over_seeds"])
        if name == "strnn":
            assert np.isnan(row["difference"]) and np.isnan(row["permutation_p"])
            continue
        difference = (right_of(tables) - right_of(reference)).mean()
        assert row["difference"] == pytest.approx(difference)
        assert row["difference_low"] <= difference + 1e-9 and difference <= row["difference_high"] + 1e-9
        assert np.isnan(row["mcnemar_p"]), "two seeds of the STRNN"
        p_values.append((row["permutation_p"], row["permutation_holm"]))
        if len(tables) > 1:
            of_seed = table.loc[(name, "1")]
            pair = [right_of([one]) == 1 for one in (reference[1], tables[1])]
            assert of_seed["mcnemar_p"] == pytest.approx(mcnemar(*pair))
            assert of_seed["difference"] == pytest.approx(pair[1].mean() - pair[0].mean())
    before, after = zip(*p_values, strict=True)
    assert after == pytest.approx(holm(before))


def test_each_experiment_differs_from_the_strnn_in_what_it_is_about_and_in_nothing_else(done):
    reference = yaml.safe_load((done / "strnn" / "seed-1" / "config.yaml").read_text())
    differing = {}
    for name in NAMES[1:6]:
        settings = yaml.safe_load((done / name / "seed-1" / "config.yaml").read_text())
        flat, flat_reference = (
            {f"{part}.{key}": value for part in ("network", "training") for key, value in one[part].items()}
            | {key: value for key, value in one.items() if not isinstance(value, dict)}
            for one in (settings, reference)
        )
        differing[name] = {key: value for key, value in flat.items() if value != flat_reference[key]}
    assert differing == {
        "srnn": {"network.variant": "srnn"},
        "trnn": {"network.variant": "trnn"},
        "non-sparse": {"training.lambda1": 0.0, "training.lambda2": 0.0},
        "sigmoid": {"network.activation": "sigmoid"},
        # Half as many samples, twice as many epochs: as many steps.
        "no-rotation": {"learn_from": "original", "training.epochs": 4},
    }


def test_a_baseline_says_which_setting_each_fold_chose(done):
    for name, key in (("svm", "C"), ("logistic", "C"), ("lstm", "hidden"), ("cnn", "kernel")):
        for table in predictions_of(done, name):
            assert table.groupby("fold")["setting"].nunique().tolist() == [1] * FOLDS
            assert all(key in json.loads(setting) for setting in table["setting"])


def test_finished_cells_are_kept(store, done, tmp_path, capsys, monkeypatch):
    out = shutil.copytree(done, tmp_path / "paper")

    def written():
        names = ("*.safetensors", "predictions.csv", "summary.json", "audit.json", "seed-*/report.html")
        return {file: file.stat().st_mtime_ns for name in names for file in out.glob(f"*/**/{name}")}

    before, table = written(), (out / "results.csv").read_bytes()
    assert len(before) > 50
    for owner, name in ((stacked_on_maps, "train"), (NetworkClassifier, "fit")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("a finished cell was done again"))
    assert main(options(store, out, "--seeds", "2", "--only", "srnn")) == 0
    assert "2 of 4: STRNN, seed 1: kept" in capsys.readouterr().out
    assert (out / "results.csv").read_bytes() == table, "experiments that were done before stay in the table"
    assert main(options(store, out, "--seeds", "2")) == 0
    assert written() == before


class Interrupted(Exception):
    """Stands for whatever ends a reproduction in the middle."""


@pytest.mark.filterwarnings("ignore:all folds")
def test_an_interrupted_reproduction_is_taken_up_to_the_same_results(store, tmp_path):
    def whole(out):
        return Reproduction(store, out, plan_of(CONFIG, folds=FOLDS), ["lstm"])

    def interrupt(count):
        if count == 2:
            raise Interrupted

    straight, cut = whole(tmp_path / "straight"), whole(tmp_path / "cut")
    with straight.begun():
        for cell in straight.cells:
            straight.run(cell)
    network, lstm = cut.cells
    with cut.begun():
        with pytest.raises(Interrupted):
            cut.run(network, lambda _, history, __: interrupt(history[-1].epoch + 1))
        with pytest.raises(BadInput, match="strnn: not finished"):
            results_of(cut)
        cut.run(network)
        with pytest.raises(Interrupted):
            cut.run(lstm, on_fold=interrupt)
    first_fold = (lstm.folder / "fold-01.csv").stat().st_mtime_ns
    counted = []
    assert not lstm.is_finished and (lstm.folder / "fold-02.csv").is_file() and first_fold
    again = whole(tmp_path / "cut")
    with again.begun():
        again.run(again.cells[1], on_fold=counted.append)
    assert counted == [1, 2, 3] and again.cells[1].is_finished
    tables = [results_of(one).drop(columns="seconds") for one in (straight, again)]
    pd.testing.assert_frame_equal(*tables)


def test_a_second_process_is_kept_out_of_a_reproduction(store, tmp_path, capsys):
    with lock_held(tmp_path, "reproduce") as holder:
        assert main(options(store, tmp_path, "--only", "svm")) == 2
    said = capsys.readouterr().err
    assert f"`face-strnn reproduce` is at work in it (process {holder.pid} on" in said
    assert not (tmp_path / "strnn").exists()


def test_the_latex_table_is_whole_and_means_what_it_says(done):
    text = (done / "results.tex").read_text(encoding="utf-8")
    assert text.startswith("\\documentclass") and "\\usepackage{booktabs}" in text
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    bare = text.replace(r"\{", "").replace(r"\}", "")
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0 and text.count("$") % 2 == 0 and not re.search(r"(?<!\\)[#_^]|(?<!\\)%(?! )", text)
    columns = len(re.search(r"begin\{tabular\}\{(\w+)\}", text)[1])
    rows = [line for line in text.splitlines() if line.endswith(r" \\") and "multicolumn" not in line]
    assert len(rows) == 1 + len(NAMES) and {line.count(" & ") for line in rows} == {columns - 1}
    table = pd.read_csv(done / "results.csv").query("seed == 'mean'")
    best = table[table["accuracy"] == table["accuracy"].max()]
    for label, accuracy in zip(best["label"], best["accuracy"], strict=True):
        assert f"{label} & \\textbf{{{100 * accuracy:.1f}}}" in text
    assert text.count("\\textbf{") == len(best) + (table["uar"] == table["uar"].max()).sum()
    assert "Seeds" in text and "synthetic" in text and "interleaved" in text and "after the last epoch" in text
    assert "contempt" not in text or "No sequence shows" in text
    for published in PUBLISHED_ABLATIONS:
        assert f"{published.label}, {published.data} & {published.accuracy:.1f}" in text


def test_a_line_of_the_latex_table_is_written_as_by_hand():
    known = {"accuracy": 0.9, "accuracy_low": 0.85, "accuracy_high": 0.95, "uar": 0.8, "uar_low": np.nan}
    known |= {"mean_over_folds": 0.9, "std_over_folds": 0.05, "std_over_seeds": 0.01, "seed": "mean"}
    compared = {"difference": -0.05, "difference_low": -0.1, "difference_high": 0.003, "permutation_p": 0.0416}
    compared |= {"permutation_holm": 0.00001, "uar": 0.85, "uar_low": 0.8, "uar_high": 0.9, "std_over_seeds": np.nan}
    rows = [
        {**dict.fromkeys(COLUMNS, np.nan), **known, "label": "STRNN", "group": "STRNN"},
        {**dict.fromkeys(COLUMNS, np.nan), **known, **compared, "label": "a_b & c", "group": "ablation"},
    ]
    lines = latex_table(pd.DataFrame(rows), "CK+.", with_std=True).splitlines()
    begin = lines.index(r"\toprule") + 1
    assert lines[begin : begin + 8] == [
        r"Method & Accuracy & UAR & Folds & Seeds & Difference & McNemar $p$ & Permutation $p$ & Holm $p$ \\",
        r"\midrule",
        "% STRNN",
        r"STRNN & \textbf{90.0} [$85.0$, $95.0$] & 80.0 & 90.0 $\pm$ 5.0 & 90.0 $\pm$ 1.0 & -- & -- & -- & -- \\",
        r"\midrule",
        "% ablation",
        r"a\_b \& c & \textbf{90.0} [$85.0$, $95.0$] & \textbf{85.0} [$80.0$, $90.0$] & 90.0 $\pm$ 5.0 & -- "
        r"& $-5.0$ [$-10.0$, $+0.3$] & -- & 0.0416 & $<$ 0.0001 \\",
        r"\midrule",
    ]
    assert lines[begin + 9] == r"STRNN, CK+ & 95.4 & \multicolumn{7}{l}{Table III} \\"


def test_what_latex_takes_for_its_own_is_escaped(done):
    assert escape_latex("50 % of a_b & {c} #1 $x$ ~^ \\") == (
        r"50 \% of a\_b \& \{c\} \#1 \$x\$ \textasciitilde{}\textasciicircum{} \textbackslash{}"
    )
    table = pd.read_csv(done / "results.csv").assign(label="a_b & c")
    text = latex_table(table, "of 100 % data_set", with_std=False)
    assert r"a\_b \& c" in text and r"of 100 \% data\_set" in text and "Seeds" not in text


def test_the_page_is_one_file_that_says_what_it_shows(done):
    page = (done / "report.html").read_text(encoding="utf-8")
    assert "Synthetic data" in page and "data:image/png;base64," in page
    assert "://" not in re.sub(r"data:image/png;base64,[^\"]+", "", page)
    assert "face-strnn reproduce --features" in page and "--seeds 2 --with-std" in page
    assert page.count("10 of 14 checks passed, 4 declared") == 6 * 2
    assert "tested on the sequences and folds of strnn" in page
    assert "85.9" in page and "SEED (EEG)" in page and "std over seeds" in page
    assert all((done / "figures" / f"accuracy.{ending}").is_file() for ending in ("png", "pdf", "svg"))
    with (done / "results.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["label"] in page


def test_every_method_and_seed_logs_its_epochs_or_folds(store, tmp_path, capsys):
    assert main(options(store, tmp_path / "paper", "--only", "srnn", "svm")) == 0
    out, log = capsys.readouterr()
    lines = [line.split("  ", 1)[1] for line in log.splitlines() if not line.startswith("face-strnn reproduce: warn")]
    for number, method in ((1, "STRNN, seed 0"), (2, "SRNN only, seed 0")):
        of_method = [line for line in lines if line.startswith(f"{number} of 3: {method}: ")]
        epochs = [line for line in of_method if "fold-stack 1 of 1 (folds 1 to 3, seed 0), epoch " in line]
        assert [f"epoch {epoch} of 2, loss " in line for epoch, line in zip((1, 2), epochs, strict=True)] == [True] * 2
        assert of_method[:2] == epochs and "testing, network 1 of 3" in of_method[2]
    folds = [line for line in lines if line.startswith("3 of 3: ")]
    assert [f"baseline, fold {fold} of 3" in line for fold, line in zip((1, 2, 3), folds, strict=True)] == [True] * 3
    assert "epoch" not in out and "fold 1" not in out


def test_a_data_sets_name_is_no_markup_on_page_table_and_plot(tmp_path):
    data = "$a_b$ 5% <b>{{ 7 * 6 }}</b> $5_$6"
    out = tmp_path / "paper"
    assert main(options(write_store(tmp_path / "features", (0,), data=data), out, "--only", "svm")) == 0
    page = (out / "report.html").read_text()
    assert html.escape(data) in page and "<b>{{" not in page and "<b>42" not in page
    assert escape_latex(data) in (out / "results.tex").read_text()
    assert (out / "figures" / "accuracy.png").is_file()


def test_results_of_other_features_or_settings_are_refused(store, done, tmp_path, capsys):
    other = write_store(tmp_path / "other", seed=1)
    assert main(options(other, done, "--seeds", "2")) == 2
    said = capsys.readouterr().err
    assert "reproduction.yaml" in said and "features.fingerprint" in said and "give another --out" in said
    assert main([*options(store, done), "--protocol", "contiguous"]) == 2
    assert "protocol interleaved (now contiguous)" in capsys.readouterr().err
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("")
    assert main(options(store, tmp_path / "taken")) == 2
    assert "give another --out" in capsys.readouterr().err


def test_what_the_features_or_the_options_do_not_allow_is_refused_before_anything_begins(store, tmp_path, capsys):
    original_numbers = write_store(tmp_path / "unrotated", rotations=(0,))
    for features, more, complaint in (
        (original_numbers, ["--only", "no-rotation"], "hold no rotated copies"),
        (store, ["--only", "gru"], "no experiment of that name; there are strnn, srnn"),
        (store, ["--with-std"], "--seeds 1 has no standard deviation"),
        (store, ["--seeds", "0"], "at least once"),
        (store, ["--folds", "9"], "fewer than 9 folds"),
    ):
        assert main(options(features, tmp_path / "out", *more)) == 2
        said = capsys.readouterr().err
        assert complaint in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    oracle = Reproduction(store, tmp_path / "out", plan_of(CONFIG, selection="oracle"))
    with pytest.raises(BadInput, match="not comparable"), oracle.begun():
        pass


def test_classes_that_never_occur_are_named(store, tmp_path, capsys):
    assert main(options(store, tmp_path / "out", "--only", "svm")) == 0
    said = capsys.readouterr().err
    assert "warning: no sequence shows " in said
    assert "No sequence shows " in (tmp_path / "out" / "results.tex").read_text()
    absent = [name for name in EMOTIONS if name in said.split("shows ")[1].split(":")[0]]
    assert absent == list(EMOTIONS[3:])


def test_a_cell_whose_predictions_are_not_of_the_references_folds_is_refused(store, tmp_path):
    whole = Reproduction(store, tmp_path / "out", plan_of(CONFIG, folds=FOLDS), ["svm"])
    with whole.begun():
        for cell in whole.cells:
            whole.run(cell)
    path = tmp_path / "out" / "svm" / "predictions.csv"
    table = pd.read_csv(path)
    table.assign(fold=FOLDS + 1 - table["fold"]).to_csv(path, index=False)
    with pytest.raises(BadInput, match="not tested as in"):
        results_of(whole)
    path.write_text("nothing")
    with pytest.raises(BadInput, match=r"predictions.csv: lacks .* `face-strnn reproduce`"):
        results_of(whole)
    assert reproduction.audit_state(whole.cells[0]) == (True, "10 of 14 checks passed, 4 declared")


def test_seeds_and_methods_are_added_to_what_is_there_and_mcnemar_is_of_one_seed(store, tmp_path):
    out = tmp_path / "out"
    first, *others = options(store, out)
    given = [first, "--config", "paper", *others, "--only"]
    assert main([*given, "trnn"]) == 0
    settings = yaml.safe_load((out / "trnn" / "seed-0" / "config.yaml").read_text())
    assert settings["training"]["schedule"] == "constant" and settings["network"]["temporal_hidden"] == 4
    table = pd.read_csv(out / "results.csv").set_index(["method", "seed"])
    assert set(table.index) == {(name, seed) for name in ("strnn", "trnn") for seed in ("0", "mean")}
    pair = [right_of(predictions_of(out, name)) == 1 for name in ("strnn", "trnn")]
    assert table.loc[("trnn", "mean"), "mcnemar_p"] == pytest.approx(mcnemar(*pair))
    assert table["std_over_seeds"].isna().all()
    kept = (out / "strnn" / "seed-0" / "summary.json").stat().st_mtime_ns
    assert main([*given, "trnn", "svm", "--seeds", "2"]) == 0
    table = pd.read_csv(out / "results.csv").set_index(["method", "seed"])
    assert len(table) == 3 + 3 + 1 and table.loc[("svm", "mean"), "seeds"] == 1
    assert (out / "strnn" / "seed-0" / "summary.json").stat().st_mtime_ns == kept


def test_a_cell_whose_audit_fails_is_named_and_ends_with_status_2(store, done, tmp_path, capsys):
    out = shutil.copytree(done, tmp_path / "paper")
    path = out / "trnn" / "seed-1" / "predictions.csv"
    table = pd.read_csv(path)
    table.assign(prediction=table["truth"]).to_csv(path, index=False)
    assert main(options(store, out, "--seeds", "2")) == 2
    assert "the audit of TRNN only failed" in capsys.readouterr().err
    assert "failed: predictions, figures" in (out / "report.html").read_text()
    table = pd.read_csv(out / "results.csv").set_index(["method", "seed"])["label"]
    assert (
        table["trnn", "1"] == table["trnn", "mean"] == "TRNN only (audit failed)" and table["trnn", "0"] == "TRNN only"
    )
    tex = (out / "results.tex").read_text()
    assert "\nTRNN only (audit failed)\n" in tex or "TRNN only (audit failed) &" in tex
    assert "\\textbf" not in next(line for line in tex.splitlines() if line.startswith("TRNN only (audit failed)"))


def test_the_help_shows_an_example_and_the_names(capsys):
    with pytest.raises(SystemExit):
        main(["reproduce", "-h"])
    said = " ".join(capsys.readouterr().out.split())
    assert "face-strnn reproduce --features features --out paper --seeds 5" in said
    assert "--only NAME [NAME ...]" in said and "--config" in said
