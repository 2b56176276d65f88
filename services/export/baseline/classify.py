"""A baseline classifier: which process sends this, by the lengths, directions and gaps of a session's first packets.

    proclabel export labeled.jsonl --out dataset --split time --stages A
    python3 classify.py dataset

Needs duckdb and scikit-learn. Trains on split=train, reports macro-F1 on split=test (later sessions, no 5-tuple of the
training's among them) as a line of JSON, beside that of always naming the most frequent process. An example of use, not a
product.
"""

import json
import sys

import duckdb
import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import f1_score

PACKETS = 32
LEAST_SESSIONS = 20  # of a process, to learn it


def load(dataset: str, split: str):
    rows = duckdb.execute(
        f"""SELECT process, splt_len, splt_gap_us, proto = 'tcp' AS tcp, direction = 'out' AS out
            FROM read_parquet('{dataset}/split={split}/**/*.parquet')
            WHERE process IS NOT NULL ORDER BY session_id"""
    ).fetchall()
    features = np.zeros((len(rows), 2 * PACKETS + 2), dtype=np.float32)
    for row, (_, lengths, gaps, tcp, out) in zip(features, rows):
        row[: len(lengths)] = lengths
        row[PACKETS : PACKETS + len(gaps)] = np.log1p(np.maximum(gaps, 0))
        row[-2:] = tcp, out
    return features, np.array([process for process, *_ in rows])


def main(dataset: str) -> None:
    train, train_labels = load(dataset, "train")
    test, test_labels = load(dataset, "test")
    names, counts = np.unique(train_labels, return_counts=True)
    learned = names[counts >= LEAST_SESSIONS]
    known_train, known_test = np.isin(train_labels, learned), np.isin(test_labels, learned)
    scores = {}
    for name, model in {
        "macro_f1": ExtraTreesClassifier(n_estimators=100, random_state=1, class_weight="balanced"),
        "macro_f1_of_the_most_frequent": DummyClassifier(),
    }.items():
        model.fit(train[known_train], train_labels[known_train])
        found = model.predict(test[known_test])
        scores[name] = round(f1_score(test_labels[known_test], found, average="macro", labels=learned, zero_division=0), 4)
    print(json.dumps({"train": int(known_train.sum()), "test": int(known_test.sum()), "processes": len(learned), **scores}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
