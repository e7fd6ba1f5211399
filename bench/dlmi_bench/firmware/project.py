"""A folder of an image: sources, image, and how to use them."""

from dataclasses import asdict
from pathlib import Path

from dlmi_bench.files import atomic_file, write_text
from dlmi_bench.firmware.image import Image, list_flags, list_sources
from dlmi_bench.firmware.net import IntegerNet
from dlmi_bench.records import Figure
from dlmi_bench.units import clean_line, format_percent

README = """\
# A net for {target}

| what | how much | how known |
|---|---|---|
| flash | {flash_bytes} bytes | counted from image.elf |
| - vectors, code, constants | {vectors_bytes}, {code_bytes}, {constants_bytes} bytes | counted from image.elf |
| RAM | {ram_bytes} bytes | counted from image.elf |
| - maps and scores, worst stack | {static_bytes}, {stack_bytes} bytes | counted from image.elf |
| accuracy | {accuracy} % [{lo}, {hi}] of {n} test images | answers of image.bin on a simulated core |

`net.c` is C99 without a library, and computes with integers only. `start.c` has what runs after a reset, `image.ld`
says where everything lies. `image.elf` is the linked image, `image.bin` the same as the flash holds it, from
{origin} on.

Built with ziglang (`pip install 'dlmi-bench[mcu]'`) by

    {command}

## How to call it

```c
extern int8_t net_input[];          /* {n_inputs} numbers, round(x * 2^{exponent}) held within -128 and 127 */
extern int32_t net_scores[];        /* {n_classes} scores */
int net_run(void);                  /* returns the class */
```

The net overwrites its input: fill `net_input` before each call. Nothing else is kept between calls.

## Licence

The output of dlmi-bench is yours: no licence of dlmi-bench applies to these files. The weights are those of your ONNX
file.
"""


def write_project(net: IntegerNet, image: Image, accuracy: Figure, folder: Path, name: str) -> list[Path]:
    """Write net.c, start.c, image.ld, image.elf, image.bin and README.md; returns their paths."""
    target, sizes = image.target, image.sizes
    assert accuracy.value is not None
    assert accuracy.lo is not None
    assert accuracy.hi is not None
    text = README.format(
        target=f"{target.name}: {clean_line(name)}",
        **asdict(sizes),
        **{part: format_percent(getattr(accuracy, part), 2) for part in ("lo", "hi")},
        accuracy=format_percent(accuracy.value, 2),
        n=accuracy.n,
        origin=hex(target.flash_origin),
        command=f"python -m ziglang cc {' '.join(list_flags(target))} -o image.elf net.c start.c",
        n_inputs=net.n_inputs,
        exponent=net.exponent,
        n_classes=net.n_classes,
    )
    texts = {**list_sources(net, target), "README.md": text}
    paths = [write_text(folder / file, content) for file, content in texts.items()]
    for file, content in {"image.elf": image.elf, "image.bin": image.content}.items():
        with atomic_file(folder / file) as stream:
            stream.write(content)
        paths.append(folder / file)
    return paths
