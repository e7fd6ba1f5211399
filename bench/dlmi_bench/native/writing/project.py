"""A folder of a net: its two files, a test with ten inputs and their answers, a Makefile, and how to use them."""

from pathlib import Path

import numpy as np

from dlmi_bench.files import write_text
from dlmi_bench.native.net import Net, Values
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.reference import compute_reference
from dlmi_bench.native.writing.source import count_scratch, format_header, format_numbers, format_source

N_EXAMPLES = 10
SEED = 0
MANY_MACS = 10**6  # about where ONNX Runtime becomes faster: cnn-32 has 1.9 M and takes 49 us here, 30 us there
SLOW = "This net has more than 1 M multiply-accumulates an example; ONNX Runtime is faster at that size."
PACKED = """\
Weights that take few values are stored as whole numbers of 8, 4, 3 or 2 bits with a scale for each output. Each call
unpacks them into its scratch memory, layer by layer; they are then the very numbers of the ONNX file. `dlmi-bench
export --format c --float-weights` stores them as float, which takes more bytes and less time."""

TEST = """\
/* {n} inputs and their answers in float64; a call may differ by {tolerance} of the largest answer. */
#include <stdio.h>
#include "net.h"

static const float inputs[{n} * NET_INPUT] = {{
{inputs}
}};

static const double answers[{n} * NET_OUTPUT] = {{
{answers}
}};

int main(void)
{{
    static float outputs[{n} * NET_OUTPUT], scratch[NET_SCRATCH];
    double largest = 0, worst = 0;
    net_run_many({n}, inputs, outputs, scratch);
    for (int i = 0; i < {n} * NET_OUTPUT; i++) {{
        const double size = answers[i] < 0 ? -answers[i] : answers[i];
        const double error = outputs[i] < answers[i] ? answers[i] - outputs[i] : outputs[i] - answers[i];
        largest = size > largest ? size : largest;
        worst = error <= worst ? worst : error; /* also of what is no number */
    }}
    printf("largest error %.1e of %.1e\\n", worst, largest);
    return worst <= {tolerance} * largest ? 0 : 1;
}}
"""
# Of the largest answer; a step of 8 bits is at most 1/127 of it, and sums may be rounded to the next.
TOLERANCES = {"float32": "1e-5"}
STEP = "1e-2"

MAKEFILE = """\
CC ?= cc
CFLAGS ?= -O3 -march=native -ffp-contract=fast
STRICT = -std=c99 -Wall -Wextra -Werror -pedantic

test: net.c net.h test.c
\t$(CC) $(STRICT) $(CFLAGS) -o run-test net.c test.c -lm
\t./run-test

# The same without vectors, for any C99 compiler.
test-plain: net.c net.h test.c
\t$(CC) $(STRICT) $(CFLAGS) -DNET_PLAIN -o run-test-plain net.c test.c -lm
\t./run-test-plain

# Objects for other machines: SSE4.2, AVX2, AVX-512; for ARM name a compiler that makes it, CC=aarch64-linux-gnu-gcc.
x86-64-v2 x86-64-v3 x86-64-v4: net.c net.h
\t$(CC) $(STRICT) -O3 -march=$@ -ffp-contract=fast -c -o net-$@.o net.c

# No -march: it is what such a compiler makes by itself, and zig calls it otherwise.
armv8: net.c net.h
\t$(CC) $(STRICT) -O3 -ffp-contract=fast -c -o net-$@.o net.c

clean:
\trm -f run-test run-test-plain net-*.o

.PHONY: test test-plain x86-64-v2 x86-64-v3 x86-64-v4 armv8 clean
"""

README = """\
# A net in C

| what | how much |
|---|---|
| parameters of the ONNX file | {n_parameters} |
| numbers that it computes with | {precision} |
| multiply-accumulates of an example | {macs} |
| constant arrays, with the zeros that fill up vectors | {weight_bytes} bytes |
| scratch memory of a call | {scratch_bytes} bytes |
| input | {input_shape} float32, {n_input} numbers |
| output | {output_shape} float32, {n_output} numbers |

`net.c` and `net.h` are C99 and need no library but the standard one. `make test` compiles them for this machine and
compares ten answers with float64; `make test-plain` does so without vectors. `make x86-64-v2`, `x86-64-v3`, `x86-64-v4`
and `armv8` make objects for other machines.
{notes}
## How to call it

```c
#include "net.h"

static float scratch[NET_SCRATCH];          /* one for each thread */
float output[NET_OUTPUT];
net_run(input, output, scratch);            /* one example */
net_run_many(n, inputs, outputs, scratch);  /* n of them, one after the other in memory */
```

- Nothing is allocated and nothing is kept between calls. Threads may call at the same time, each with its own scratch
  memory.
- It is fastest where the scratch memory begins at a multiple of 64 bytes.
- With GCC (9 or newer) and clang it uses vectors of the widest kind that the flags allow; with other compilers, or
  `-DNET_PLAIN`, plain numbers.
- It needs no `-ffast-math`. `-ffp-contract=fast` lets a product and its sum be rounded once together.

## Licence

The output of dlmi-bench is yours: no licence of dlmi-bench applies to these files. The weights are those of your ONNX
file.
"""


def write_project(
    model: Path, folder: Path, *, output: str = "", batch_axis: int | None = None, is_packed: bool = True
) -> list[Path]:
    """Write net.c, net.h, test.c, Makefile and README.md of an ONNX file into a folder; returns their paths.

    Args:
        output, batch_axis, is_packed: See `read_net`.

    Raises:
        DataError: see `read_net`.
    """
    net, signature = read_net(model, output=output, batch_axis=batch_axis, is_packed=is_packed)
    shape = (N_EXAMPLES * (signature.batch or 1), *net.input_shape)
    inputs = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
    answers = compute_reference(model, signature, inputs)
    texts = {
        "net.c": format_source(net),
        "net.h": format_header(net),
        "test.c": _format_test(inputs[:N_EXAMPLES], answers[:N_EXAMPLES], TOLERANCES.get(net.precision, STEP)),
        "Makefile": MAKEFILE,
        "README.md": _format_readme(net),
    }
    return [write_text(folder / name, text) for name, text in texts.items()]


def _format_test(inputs: Values, answers: Values, tolerance: str) -> str:
    numbers = {"inputs": format_numbers(inputs), "answers": format_numbers(answers)}
    return TEST.format(n=N_EXAMPLES, tolerance=tolerance, **numbers)


def _format_readme(net: Net) -> str:
    notes = [SLOW] * (net.macs > MANY_MACS) + [PACKED] * net.is_packed
    return README.format(
        n_parameters=net.n_parameters,
        precision=net.precision,
        macs=net.macs,
        weight_bytes=net.weight_bytes,
        scratch_bytes=4 * count_scratch(net),
        input_shape=net.input_shape,
        n_input=int(np.prod(net.input_shape)),
        output_shape=net.output_shape,
        n_output=net.output.size,
        notes="".join(f"\n{note}\n" for note in notes),
    )
