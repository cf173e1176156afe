"""unet3d and its peers at the same work on this machine, in turn, one pass each a round.

Every contestant is a process that waits until it is its turn (contestant.py, for ours
`unet3d bench --serve`). Prints a table of medians and ratios and writes it, with every
single time, into the folder --out: peers.md and peers.json.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

import models

HERE = pathlib.Path(__file__).parent
UNET3D = (HERE / "../../target/release/unet3d").resolve()
LARGEST = 12 << 30  # bytes that a tile of choice may take


@dataclasses.dataclass
class Item:
    """A piece of work and who does it.

    A contestant is written PROGRAM, PROGRAM@VARIANT or PROGRAM/SIZE*N: another size than that
    of the item, whose time counts N times.
    """

    network: str
    size: str
    passes: str  # forward or step
    # (who, the ratio to reach, contestants of which the fastest counts, and where it is
    # another the ratio to reach without AVX-512)
    targets: list
    batch: int = 1
    ours: str = "ours"
    note: str = ""
    needs: str = ""  # a flag of the processor without which the item is left out
    # Contestants start anew each round, as together they need too much memory; the rivals are
    # one program at several sizes, each of at most LARGEST.
    fresh: bool = False


TORCH = "torch torch-cl"
AVX2 = "torch@avx2 torch-cl@avx2"
BF16 = "torch-bf16 torch-bf16-cl"
PAPER = "116,132,132"
ITEMS = {
    "forward-common": Item("common", PAPER, "forward", [
        ("PyTorch f32", 4.0, TORCH, 3.0),
        ("OpenVINO f32", 2.8, "openvino"),
        ("OpenVINO bf16", 1.6, "openvino-bf16"),
    ]),
    "forward-common-noamx": Item("common", PAPER, "forward", [
        ("OpenVINO bf16 without AMX", 1.6, "openvino-bf16@noamx"),
    ], needs="amx_bf16"),
    "step-common": Item("common", PAPER, "step", [
        ("PyTorch f32", 5.0, TORCH, 3.0),
        ("PyTorch bf16", 2.7, BF16),
    ]),
    "step-common-noamx": Item("common", PAPER, "step", [
        ("PyTorch bf16 without AMX", 2.7, "torch-bf16@noamx torch-bf16-cl@noamx"),
    ], needs="amx_bf16"),
    "forward-blog": Item("blog", "132,132,132", "forward", [("Keras", 3.0, "keras")]),
    "step-blog": Item("blog", "132,132,132", "step", [("Keras", 3.0, "keras")]),
    "forward-avx2": Item("common", PAPER, "forward", [("PyTorch f32, AVX2", 3.0, AVX2)], ours="ours@avx2"),
    "step-avx2": Item("common", PAPER, "step", [("PyTorch f32, AVX2", 3.0, AVX2)], ours="ours@avx2"),
    "predict-paper": Item("common", PAPER, "forward", [
        ("PyTorch f32, tiles of the paper", 10.0, f"torch-cl/{PAPER}*108", 3.0),
    ], ours="predict", note="64x244x248 voxels. Ours: the command, whole, with reading, normalising and "
        "writing. PyTorch: one tile times the 3 x 6 x 6 tiles that cover the volume, nothing else."),
    "predict-choice": Item("common", PAPER, "forward", [
        ("PyTorch f32, tile of its choice", 4.0,
         "torch-cl/156,332,340*1 torch-cl/156,212,340*2 torch-cl/156,212,212*4 torch-cl/124,212,212*8", 3.0),
    ], ours="predict", fresh=True, note="The same volume; PyTorch with the fastest of several tiles that "
        "takes at most 12 GiB."),
    "forward-twin2d": Item("twin2d", "1,572,572", "forward", [("PyTorch f32", 2.5, TORCH)]),
    "step-twin2d": Item("twin2d", "1,572,572", "step", [("PyTorch f32", 2.5, TORCH)]),
    "forward-flat": Item("flat", "44,132,132", "forward", [("PyTorch f32", 2.5, TORCH)]),
    "step-flat": Item("flat", "44,132,132", "step", [("PyTorch f32", 2.5, TORCH)]),
    "small": Item("small", "64,64,64", "step", [("PyTorch f32", 4.0, TORCH)], batch=2),
    "threads": Item("common", PAPER, "step", [("ours, 1 thread", 1.85, "ours@1")], ours="ours@2"),
}

# Environment, and flags of ours.
VARIANTS = {
    "": ({}, []),
    "avx2": ({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"},
             ["--isa", "avx2"]),
    "noamx": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "DNNL_MAX_CPU_ISA": "AVX512_CORE_BF16"}, []),
    "1": ({}, ["--threads", "1"]),
    "2": ({}, ["--threads", "2"]),
}


class Contestant:
    """A process that runs a pass when it is asked to."""

    def __init__(self, name, item, folder):
        self.name, self.item, self.folder = name, item, folder
        self.times, self.peak, self.parameters, self.process, self.failure = [], 0, 0, None, None
        program, _, size = name.partition("/")
        self.size, _, factor = (size or item.size).partition("*")
        self.factor = int(factor or 1)
        self.program, _, self.variant = program.partition("@")

    def command(self):
        item, flags = self.item, VARIANTS[self.variant][1]
        python = [sys.executable, HERE / "contestant.py"]
        if self.program == "ours":
            network = ["--preset", item.network] if item.network != "flat" else ["--config", flat(self.folder)]
            work = ["--size", self.size, "--batch", str(item.batch), "--serve", item.passes]
            return [UNET3D, "bench", *network, *work, "--memory", "12GiB", *flags]
        if self.program == "predict":
            image, model = volume_and_model(self.folder)
            out = self.folder / "out.npy"
            return [*python, "command", UNET3D, "predict", model, image, "-o", out, "--memory", "12GiB", *flags]
        return [*python, self.program, item.network, str(item.batch), self.size, item.passes]

    def start(self):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, **VARIANTS[self.variant][0]},
        )
        self.parameters = int(self.answer("ready"))

    def turn(self):
        """One pass; a contestant that dies (of want of memory, say) is out."""
        try:
            if self.process is None:
                self.start()
            print(file=self.process.stdin, flush=True)
            seconds, peak = self.answer("").split()
            self.times.append(float(seconds) * self.factor)
            self.peak = max(self.peak, int(peak))
        except (OSError, EOFError) as error:
            self.failure = str(error)
            self.stop()

    def answer(self, begin):
        for line in self.process.stdout:
            if line.startswith(begin):
                return line.removeprefix(begin).strip()
        self.log.seek(0)
        last = self.log.read().strip().splitlines()[-1:]
        raise EOFError(f"ended with code {self.process.wait()}: {' '.join(last)}")

    def stop(self):
        if self.process is not None:
            self.process.communicate()  # closes its input, whereupon it ends
            self.log.close()
            self.process = None

    def counts(self):
        fits = not self.item.fresh or self.peak <= LARGEST
        return bool(self.times) and not self.failure and fits

    def median(self):
        return statistics.median(self.times)


def fitted(item, flags):
    """The item as a processor with these flags can do it: none of it in bf16 without
    instructions for it (PyTorch emulates it then: minutes a step), and the ratios that are
    to be reached without AVX-512."""
    def of(who, target, names, without=None):
        return who, target if "avx512f" in flags else without or target, names

    targets = [of(*target) for target in item.targets if "bf16" not in target[2] or "avx512_bf16" in flags]
    return dataclasses.replace(item, targets=targets)


def run(item, rounds, folder):
    names = [item.ours, *(name for _, _, names in item.targets for name in names.split())]
    contestants = [Contestant(name, item, folder) for name in names]
    for number in range(rounds):
        for c in contestants:
            if not c.failure:
                c.turn()
                print(f"  round {number + 1}: {c.name} {c.failure or c.times[-1]}", file=sys.stderr)
            if item.fresh:
                c.stop()
        if item.fresh and number == 0:
            keep_fastest([c for c in contestants if c.name != item.ours])
    for c in contestants:
        c.stop()
    counts = {c.parameters for c in contestants} - {0}
    if len(counts) > 1:
        sys.exit(f"the networks differ in their parameters: {counts}")
    return contestants


def keep_fastest(rivals):
    """Of many sizes that are tried only the fastest that fits runs again."""
    fastest = min((c for c in rivals if c.counts()), key=Contestant.median, default=None)
    for c in rivals:
        if c is not fastest:
            c.failure = c.failure or "slower or too large in round 1"


def ratios(item, contestants):
    by_name = {c.name: c for c in contestants}
    ours = by_name[item.ours]
    for who, target, names in item.targets:
        theirs = [by_name[name] for name in names.split() if by_name[name].counts()]
        best = min(theirs, key=Contestant.median, default=None)
        row = {"against": who, "target": target, "fastest": best and best.name}
        if best and ours.counts():
            row |= {"theirs_s": best.median(), "ours_s": ours.median(), "ratio": best.median() / ours.median()}
        yield row


def flat(folder):
    """A configuration of the network that is flat at two levels."""
    (down, up), levels, _, _ = models.SPECS["flat"]
    lines = ["[network]", "in_channels = 3", "classes = 3", 'padding = "valid"', 'normalisation = "batch_current"',
             'activation = "relu"', "up_activation = false", "dropout = 0.0", "[network.biases]"]
    lines += [f"{name} = true" for name in ("first", "convolutions", "up_convolutions", "score")]
    for level, (kernel, pool) in enumerate(levels):
        lifted = up[len(up) - 1 - level] if level < len(up) else (0, 0, 0)
        lines += ["[[network.levels]]", f"down = {list(down[level])}", f"up = {list(lifted)}",
                  f"kernel = {list(kernel)}", f"pool = {list(pool)}"]
    path = folder / "flat.toml"
    path.write_text("\n".join(lines))
    return path


def volume_and_model(folder):
    """A volume to predict, and a model of one step of training: what matters is its size."""
    import numpy

    image, model = folder / "image.npy", folder / "model.safetensors"
    if not model.exists():
        random = numpy.random.default_rng(1)
        numpy.save(image, random.standard_normal((3, 64, 244, 248), numpy.float32))
        numpy.save(folder / "crop.npy", random.standard_normal((3, 16, 32, 32), numpy.float32))
        numpy.save(folder / "labels.npy", random.integers(0, 3, (16, 32, 32), numpy.uint8))
        subprocess.run(
            [UNET3D, "fill", folder / "crop.npy", folder / "labels.npy", "-o", folder / "filled.npy", "--model", model,
             "--dense", "--preset", "common", "--patch", "92,92,92", "--batch", "1", "--iterations", "1"],
            check=True, stdout=subprocess.DEVNULL,
        )
    return image, model


def machine():
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    field = lambda name: next((l.partition(":")[2].strip() for l in lines if l.startswith(name)), "")
    known = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "asimd")
    flags = set((field("flags") or field("Features")).split())
    return {
        "processor": field("model name") or platform.processor() or platform.machine(),
        "family, model": f"{field('cpu family')}, {field('model')}",
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in known if flag in flags],
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.platform(),
    }


def versions():
    ours = subprocess.run([UNET3D, "info", "--json"], capture_output=True, text=True, check=True)
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True)
    theirs = ("torch", "openvino", "tensorflow-cpu", "keras", "numpy")
    return {
        "unet3d": json.loads(ours.stdout)["version"] + " " + commit.stdout.strip(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in theirs},
    }


def seconds(value):
    return "" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def markdown(result):
    of = result["machine"]
    lines = [
        f"{of['processor']} ({of['family, model']}), {of['cores']} cores, {' '.join(of['flags'])}, {of['memory']}; "
        + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        + f". Seconds, medians of {result['rounds']} passes, in turn.",
        "",
        "| work | against | theirs | ours | ratio | target |  |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, item in result["items"].items():
        for row in item["ratios"]:
            ratio = row.get("ratio")
            reached = "" if ratio is None else "reached" if ratio >= row["target"] else "missed"
            shown = "failed" if ratio is None else f"{ratio:.2f}"
            times = f"{seconds(row.get('theirs_s'))} | {seconds(row.get('ours_s'))}"
            lines.append(f"| {name} | {row['against']} | {times} | {shown} | {row['target']} | {reached} |")
    lines += ["", "| work | contestant | median | fastest | slowest | peak GB |", "|---|---|---|---|---|---|"]
    for name, item in result["items"].items():
        for c in item["contestants"]:
            t = sorted(c["times_s"])
            cells = f"{seconds(c['median_s'])} | {seconds(t[0])} | {seconds(t[-1])}" if t else f"{c['failure']} | |"
            lines.append(f"| {name} | {c['name']} | {cells} | {c['peak_bytes'] / 1e9:.2f} |")
    notes = [f"- {name}: {item['note']}" for name, item in result["items"].items() if item["note"]]
    return "\n".join(lines + ([""] + notes if notes else [])) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ITEMS, default=list(ITEMS), metavar="NAME",
                        help="of " + ", ".join(ITEMS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results", help="folder for peers.md and peers.json")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), "versions": versions(), "rounds": arguments.rounds, "items": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            item = ITEMS[name]
            if item.needs and item.needs not in result["machine"]["flags"]:
                print(f"{name}: left out, the processor has no {item.needs}", file=sys.stderr)
                continue
            item = fitted(item, result["machine"]["flags"])
            print(f"{name}: {item.network}, {item.size}, batch {item.batch}, {item.passes}", file=sys.stderr)
            contestants = run(item, arguments.rounds, pathlib.Path(folder))
            result["items"][name] = {
                "network": item.network, "size": item.size, "batch": item.batch, "pass": item.passes, "note": item.note,
                "ratios": list(ratios(item, contestants)),
                "contestants": [
                    {"name": c.name, "times_s": c.times, "median_s": c.median() if c.times else None,
                     "peak_bytes": c.peak, "failure": c.failure}
                    for c in contestants
                ],
            }
            # After each item, so that an interrupted comparison is of use.
            (arguments.out / "peers.json").write_text(json.dumps(result, indent=1) + "\n")
            (arguments.out / "peers.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
