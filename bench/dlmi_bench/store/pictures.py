"""Examples to look at beside their figures: an image, what was answered, and which pixels the answer hangs on.

Chosen by their place in the test split and by nothing else. Kept as 8-bit greys, which is more than a print shows.
"""

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.records import Plain

Pixels = NDArray[np.uint8]


class Picture(Plain):
    """One test example.

    Attributes:
        index: Its place in the test split.
        probability: Softmax of the answer's score.
        image, saliency: Base64 of 8-bit greys, (height, width); the image between the darkest and the brightest of
            its series, the saliency between 0 and its own largest.
    """

    index: int
    truth: int
    answer: int
    probability: float
    height: int
    width: int
    image: str
    saliency: str

    @property
    def is_right(self) -> bool:
        return self.truth == self.answer

    def decode(self) -> tuple[Pixels, Pixels]:
        """Image and saliency, each (height, width).

        Raises:
            ValueError: they are not of that size.
        """
        image, saliency = (
            np.frombuffer(base64.b64decode(text), np.uint8).reshape(self.height, self.width)
            for text in (self.image, self.saliency)
        )
        return image, saliency


def pick_examples(truth: NDArray[np.integer], answers: NDArray[np.integer], n_each: int) -> list[int]:
    """The first `n_each` right and the first `n_each` wrong ones of each class, or as many as there are."""
    found = []
    for label in np.unique(truth):
        for is_right in (True, False):
            of_kind = (truth == label) & ((answers == label) == is_right)
            found += [int(i) for i in np.flatnonzero(of_kind)[:n_each]]
    return found


def encode_grey(values: NDArray[np.floating], lo: float, hi: float) -> str:
    """Base64 of 8-bit greys, `lo` black and `hi` white."""
    grey = np.clip((values - lo) / max(hi - lo, 1e-12), 0, 1) * 255
    return base64.b64encode(grey.round().astype(np.uint8).tobytes()).decode()


def make_pictures(
    examples: Sequence[int],
    images: NDArray[np.floating],
    saliency: NDArray[np.floating],
    truth: NDArray[np.integer],
    scores: NDArray[np.floating],
) -> list[Picture]:
    """Pictures of some examples.

    Args:
        examples: Places in the test split.
        images, saliency: Of those examples, (n, height, width).
        truth: Of those examples, (n,).
        scores: Of those examples, (n, class), not normalised.
    """
    lo, hi = (float(images.min()), float(images.max())) if len(images) else (0.0, 1.0)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    shares = weights / weights.sum(1, keepdims=True)
    return [
        Picture(
            index=index,
            truth=int(truth[i]),
            answer=int(scores[i].argmax()),
            probability=round(float(shares[i].max()), 4),
            height=images.shape[1],
            width=images.shape[2],
            image=encode_grey(images[i], lo, hi),
            saliency=encode_grey(saliency[i], 0.0, float(saliency[i].max())),
        )
        for i, index in enumerate(examples)
    ]
