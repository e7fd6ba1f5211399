"""How figures are measured, in a paragraph each: it opens where a figure stands, and begins its page in docs/method."""

METHODS = {
    "accuracy": (
        "What is judged is the exported ONNX file, the same bytes that are then timed. The test split is read once "
        "for each file, after its training has ended; stopping and recipes look at validation alone. Every seed "
        "that was launched counts. The interval says how much another test sample of this size would differ "
        "(Wilson, 95 %), the standard deviation over seeds how much another training would."
    ),
    "answers": (
        "Areas, thresholds and calibration come from the scores that the exported file gave in the one read of the "
        "test split. A threshold is fixed on validation. The positive class is the second of two; of several "
        "classes each stands against the rest. Examples of one group, such as the images of a patient, are sampled "
        "as one; without groups each example is taken for independent. Intervals are for one network and another "
        "test sample."
    ),
    "training": (
        "The clock runs while the network learns, on one pinned thread that has the machine to itself; evaluation "
        "and loading have clocks of their own. The target counts as reached at the first evaluation that meets it. "
        "A training that never meets it is censored: it stays in the table and in the share of those that did."
    ),
    "latency": (
        "Fresh processes with one pinned thread time all models of a task in turns. A latency is the mean of a "
        "block of calls, the median over the rounds of a process, the median over processes. The brackets of an "
        "absolute latency are the smallest and the largest process. A ratio pairs the blocks of a round, and has a "
        "95 % t-interval over processes: what slows all models alike drops out."
    ),
    "energy": (
        "Each part of the machine is read by the best meter that works here, over a window in which the work is "
        "repeated. Measured joules come from counters of the hardware. Modelled ones are time multiplied by a load "
        "curve: they are marked, rank nothing and decide no claim."
    ),
    "counts": (
        "Parameters are the elements of a file's constant tensors. Multiply-accumulates are those of convolutions "
        "and matrix products for one example; up to four unrelated counters have to agree. Counts are exact. Packed "
        "sizes are those of the numbers of the ONNX file in the smallest of a fixed list of lossless encodings. Peak "
        "memory is the kernel's high-water mark of a fresh process."
    ),
    "firmware": (
        "Weights and activations become 8-bit integers whose scales are chosen on training images. The image is whole: "
        "vectors, code and weights, without a library. Its bytes are counted from the ELF file, the stack as the sum "
        "of all frames. Every test image is answered by the image itself on a simulated core, and each answer has to "
        "equal the integer reference. Instructions are simulated: they are neither cycles nor joules."
    ),
    "comparing": (
        "Accuracies are compared over seeds and over the same test examples, latencies over the processes that "
        "timed both models side by side, trainings over seeds. A difference is resolved where its interval holds no "
        "zero. Of several models the differences hold together at 95 %."
    ),
    "claims": (
        "A claim names a figure, what it is compared with, and a limit. It is SUPPORTED where the whole interval "
        "lies on its side of the limit and REFUTED where it lies on the other. All claims of a family and all looks "
        "at them are corrected together, so that any wrong verdict among them has a probability of at most 5 %."
    ),
    "reported": (
        "Others made these answers and figures; nothing was trained or measured here. The answers of all "
        "algorithms to the same cases are compared as those of trainings are. One set of answers has no "
        "spread over seeds, so what is said is said of that network. Cases of one group, such as a patient, "
        "are one unit of every interval. Reported bounds of costs are taken as 95 % intervals."
    ),
}
