"""Whether a network is right as often as it says: the reliability diagram's numbers.

Confidence is the largest probability of an image, accuracy whether that class is right.
Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (arXiv 1706.04599).
"""

import dataclasses

import numpy as np

# Equal widths from 0 to 1, each open below and closed above, as in Guo et al.
NUM_BINS = 15


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Sums by bin of confidence; bin b holds confidences in (b / NUM_BINS, (b + 1) / NUM_BINS].

    counts: images, int [NUM_BINS].
    right: those of them that are right, int [NUM_BINS].
    confidence: sum of their confidences, float64 [NUM_BINS].
    """

    counts: np.ndarray
    right: np.ndarray
    confidence: np.ndarray

    @property
    def expected_error(self):
        """Expected calibration error: the mean over images of |accuracy - confidence| by bin."""
        return float(np.abs(self.right - self.confidence).sum() / self.counts.sum())


def reliability(confidence, right):
    """The Reliability of images.

    Shape: float64 [n] in [0, 1], bool [n].
    """
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    return Reliability(*(np.bincount(bins, weights, NUM_BINS).astype(kind) for weights, kind in (
        (None, int), (right, int), (confidence, float))))
