"""What is to be scored, and how: the flags of eval as one object."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class ScoringRequest:
    """One call of eval.

    model_dirs: folders of runs; several are an ensemble.
    crops, scales: the views of an image; see data.views.protocol_of.
    weights: "ema" or "raw".
    checkpoint: which one of each run; see runs.choice.
    batch_size: views per pass over all devices.
    predictions: files to keep each network's probabilities in, one per model_dir, or none.
    search: score every subset of the networks, best first.
    exclude, labels: files; see evaluation.targets.
    submission, class_ids: files; see evaluation.submission.
    report: folder to write evaluation.report's page and pictures into, or none.
    output: file to write the result into, as JSON, or none.
    given: config fields that override the runs' own.
    command: the words that asked for this, for the record.
    """

    model_dirs: tuple[str, ...] = ()
    crops: int = 1
    scales: str | tuple[int, ...] = "scaled"
    weights: str = "ema"
    checkpoint: str = "newest"
    batch_size: int = 32
    predictions: tuple[str, ...] = ()
    search: bool = False
    exclude: str = ""
    labels: str = ""
    submission: str = ""
    class_ids: str = ""
    report: str = ""
    output: str = ""
    given: dict[str, Any] = dataclasses.field(default_factory=dict)
    command: tuple[str, ...] = ()
