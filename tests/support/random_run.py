"""A run folder made of random predictions, weights and curves: the numbers mean nothing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from data_prep.datasets.ckplus_list import ckplus_sequences
from data_prep.datasets.emotions import EMOTIONS
from face_strnn.evaluation.metrics import summarise


def random_predictions(rng: np.random.Generator, n_sequences: int = 327) -> pd.DataFrame:
    """CK+'s own sequences and folds, with random predictions that are right about 85 times in 100."""
    listed = ckplus_sequences()[:n_sequences]
    truth = np.array([EMOTIONS.index(sequence.emotion) for sequence in listed])
    scores = rng.normal(size=(len(listed), len(EMOTIONS)))
    scores[np.arange(len(listed)), truth] += 2.6
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "sequence": [f"{sequence.subject}_{sequence.sequence}" for sequence in listed],
            "subject": [sequence.subject for sequence in listed],
            "fold": [sequence.fold_interleaved for sequence in listed],
            "truth": [sequence.emotion for sequence in listed],
            "prediction": [EMOTIONS[best] for best in scores.argmax(axis=1)],
            **{f"p_{emotion}": probabilities[:, column] for column, emotion in enumerate(EMOTIONS)},
        }
    )


def write_run(run: Path, data: str = "synthetic", selection: str = "last") -> Path:
    """Write a whole run folder as cross-validation does, from random predictions, weights and curves."""
    rng = np.random.default_rng(0)
    predictions = random_predictions(rng)
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 0\n")
    predictions.to_csv(run / "predictions.csv", index=False)
    listed = predictions[["sequence", "subject", "truth"]].rename(columns={"truth": "emotion"})
    folds = [
        listed.assign(fold=fold, rotation=rotation, role=np.where(predictions["fold"] == fold, "test", "train"))
        for fold in range(1, 11)
        for rotation in (0, -12, -7, 7, 12)
    ]
    folds = pd.concat(folds)
    folds = folds[(folds["role"] == "train") | (folds["rotation"] == 0)]
    folds[["fold", "sequence", "subject", "emotion", "rotation", "role"]].to_csv(run / "folds.csv", index=False)
    epochs = np.arange(1, 31)
    curves = [
        pd.DataFrame({"fold": fold, "seed": 0, "epoch": epochs, "loss": 2 * decay + 0.1, "cross_entropy": 2 * decay})
        .assign(train_accuracy=1 - 0.85 * decay)
        .assign(**({"test_accuracy": 0.88 - 0.7 * decay} if selection == "oracle" else {}))
        .assign(**({"validation_accuracy": 0.87 - 0.7 * decay} if selection == "inner" else {}))
        for fold in range(1, 11)
        for decay in [np.exp(-epochs / rng.uniform(4, 8)) * rng.uniform(0.9, 1.1, epochs.size)]
    ]
    pd.concat(curves).to_csv(run / "history.csv", index=False)
    row, column = np.divmod(np.arange(49), 7)
    place = np.exp(-((row - 5) ** 2 + (column - 3) ** 2) / 2) + 0.6 * np.exp(-((row - 2) ** 2 + (column - 2) ** 2))
    for fold in range(1, 11):
        projection = rng.normal(size=(4, 49, 10)) * (0.08 + place)[None, :, None]
        save_file(
            {"spatial.G": projection.astype(np.float32), "spatial.b": np.zeros((4, 50), np.float32)},
            run / "checkpoints" / f"fold-{fold:02d}.safetensors",
            metadata={"config": json.dumps({"grid": [7, 7], "input_size": 512})},
        )
    summary = {
        **summarise(predictions, EMOTIONS),
        "classes": list(EMOTIONS),
        "n_samples": 1635,
        "networks": [
            {
                "fold": int(fold),
                "seed": 0,
                "training_sequences": len(predictions) - len(rows),
                "training_accuracy": 0.99,
                "held_out_sequences": len(rows),
                "held_out_accuracy": float((rows["truth"] == rows["prediction"]).mean()),
            }
            for fold, rows in predictions.groupby("fold")
        ],
        "protocol": "interleaved",
        "selection": selection,
        "seed": 0,
        "seeds": 1,
        "variant": "strnn",
        "learn_from": "all",
        "tested": "unrotated",
        "ensemble": None,
        "warnings": [],
        "spatial_scan": "kernel compiled for this processor",
        "left_out": ["S999_001"],
        "damaged": ["S998_001", "what[.png"],
        "seed_accuracies": [0.5],
        "epochs": 30,
        "seconds": 412.7,
        "versions": {"python": "3.11.7", "torch": "2.15.0", "numpy": "2.4.6"},
        "features": {
            "fingerprint": "vgg16-pool4-3f9a",
            "backbone": "vgg16",
            "weights": "random",
            "weights_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "maps": "pool4",
            "crop": {"size": 112, "margin": 0.2},
            "rotations": [0, -12, -7, 7, 12],
        },
        "data": data,
        "command": "face-strnn cv features/vgg16-pool4-3f9a --protocol interleaved --seed 0 --out runs/first",
        "baselines": [
            {
                "name": "linear SVM on the apex frame's maps",
                "accuracy": 0.81,
                "accuracy_interval": [0.76, 0.86],
                "mean_class_recall": 0.74,
            },
            {
                "name": "chance by class frequency",
                "accuracy": 0.25,
                "accuracy_interval": None,
                "mean_class_recall": 1 / 7,
            },
        ],
    }
    (run / "summary.json").write_text(json.dumps(summary))
    return run
