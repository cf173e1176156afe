"""unet3d and PyTorch learn the same: as many steps, then as much time.

For each data set and seed: ours for --iterations steps; PyTorch from the same start
values on the same patches in the same order for as many; PyTorch anew for as long as
ours took. With --minutes, both anew for that long instead of the last. Schedules run to
the end of the budget, by steps or by the clock. The models of both sides are predicted
and scored by `unet3d predict` and `unet3d evaluate`: only the training differs.

First of all the losses of ten steps at a low learning rate must agree to 1e-3. Everything is kept in --out;
what is finished is not done again. report.py makes tables and curves of it.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import time

import report

HERE = pathlib.Path(__file__).parent
BIN = (HERE / "../../target/release").resolve()
UNET3D, REPLAY = BIN / "unet3d", BIN / "replay"
CHECKED, TOLERANCE = 10, 1e-3
# Low, so that ten steps compare what is computed. At the rates of training the steps
# amplify rounding: on fib25 both sides are then up to 2e-3 from the losses in f64.
CHECKED_RATE = 2e-4
# PyTorch's clock may let it make more steps than ours in the same time.
SPARE = 4


def call(*command, quiet=True):
    """Runs a command; the JSON that it prints, if it does."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE if quiet else None)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with code {done.returncode}: {(done.stderr or '')[-2000:]}")
    return json.loads(done.stdout) if done.stdout.startswith("{") else None


class Hippocampus:
    """Dense volumes; scored on the cases that split.tsv holds out."""

    name, score, iterations = "hippocampus", "mean Dice of the two structures", 500

    def __init__(self, data, out):
        self.training = data / "hippocampus"
        table = (line.split() for line in (self.training / "split.tsv").read_text().splitlines())
        held_out = [case for case, _, split in table if split == "validate"]
        self.images = [self.training / "imagesTr" / f"{case}.nii.gz" for case in held_out]

    def evaluate(self, predicted):
        scores = call(UNET3D, "evaluate", predicted, self.training / "labelsTr", "--json")
        dice = {c["name"]: c["dice"] for c in scores["classes"] if c["value"] != 0}
        return sum(dice.values()) / len(dice), dice


class Fib25:
    """One volume of which nine slices are annotated; scored on all other voxels."""

    name, score, iterations = "fib25", "mean IoU on unannotated voxels", 300

    def __init__(self, data, out):
        folder = out / "data"
        folder.mkdir(parents=True, exist_ok=True)
        self.images, self.truth, self.sparse = [folder / "image.tif"], folder / "truth.tif", folder / "sparse.tif"
        self.training = folder / "list.toml"
        if not self.training.exists():
            for name, to in (("image", self.images[0]), ("labels", self.truth)):
                to.unlink(missing_ok=True)
                call(UNET3D, "convert", data / "fib25" / f"{name}.tif", to, "--crop", "0:128,0:128,0:128")
            self.sparse.unlink(missing_ok=True)
            call(UNET3D, "sparsify", self.truth, "-o", self.sparse, "--slices", "z=3,y=3,x=3")
            self.training.write_text('[labels]\nunlabeled = 0\n[[case]]\nimage = "image.tif"\nlabels = "sparse.tif"\n')

    def evaluate(self, predicted):
        scores = call(UNET3D, "evaluate", predicted / "image.tif", self.truth, "--except", self.sparse, "--json")
        return scores["mean_iou"], {c["name"]: c["iou"] for c in scores["classes"]}


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: which side, and its budget of steps or of minutes."""

    side: str  # ours or torch
    iterations: int = None
    minutes: float = None

    def flags(self):
        return ["--iterations", self.iterations] if self.iterations else ["--minutes", self.minutes]


class Comparison:
    """All runs on one data set."""

    def __init__(self, data_set, arguments):
        self.data, self.out, self.threads = data_set, arguments.out / data_set.name, arguments.threads
        self.config = HERE / f"{data_set.name}.toml"
        self.peer = [sys.executable, HERE / "peer.py"]

    def check(self):
        """Compares the losses of the first steps and finds PyTorch's fastest variant."""
        folder, done = self.out / "check", self.out / "check" / "check.json"
        config = self.config.read_text()
        if done.exists() and json.loads(done.read_text())["config"] == config:
            self.variant = json.loads(done.read_text())["variant"]
            return
        shutil.rmtree(folder, ignore_errors=True)
        rate = ["--lr", CHECKED_RATE]
        self.train(Run("ours", CHECKED), 0, folder / "ours", more=rate)
        self.replay(folder / "ours", CHECKED, folder / "replay")
        pace = call(*self.peer, "pace", folder / "replay", "--threads", self.threads, quiet=False)
        self.variant = min(pace, key=pace.get)
        self.train(Run("torch", CHECKED), 0, folder / "torch", folder / "replay")  # its rate is that of ours
        ours, theirs = report.losses(folder / "ours"), report.losses(folder / "torch")
        print(f"{self.data.name}: losses of the first steps\n\n  step      ours   PyTorch  relative")
        differences = [abs(a / b - 1) for a, b in zip(ours, theirs, strict=True)]
        for step, (a, b, difference) in enumerate(zip(ours, theirs, differences), 1):
            print(f"  {step:4}  {a:8.5f}  {b:8.5f}   {difference:.1e}")
        if max(differences) > TOLERANCE:
            sys.exit(f"{self.data.name}: the losses differ by {max(differences):.1e}, more than {TOLERANCE}. "
                     "The two sides do not compute the same; nothing is compared.")
        print(f"\nPyTorch runs as {self.variant}, its fastest: {pace[self.variant]:.3f} s a step\n", flush=True)
        done.write_text(json.dumps({"config": config, "variant": self.variant, "pace": pace,
                                    "largest_difference": max(differences)}, indent=1))

    def replay(self, run, steps, folder):
        call(REPLAY, run, self.data.training, "--steps", steps, "--out", folder)

    def train(self, run, seed, folder, replay=None, more=()):
        """Trains; steps and seconds."""
        if run.side == "ours":
            flags = [*run.flags(), "--seed", seed, "--threads", self.threads, *more]
            return call(UNET3D, "train", self.data.training, "-o", folder, "--config", self.config, *flags, "--json")
        flags = [*run.flags(), "--variant", self.variant, "--threads", self.threads]
        return call(*self.peer, "train", replay, folder, *flags, quiet=False)

    def result(self, run, seed, name, base=None):
        """Trains and scores, or takes what an earlier call left. PyTorch repeats the run `base`."""
        folder = self.out / f"seed{seed}" / name
        done = folder / "result.json"
        settings = {"side": run.side, "config": self.config.read_text(), "threads": self.threads,
                    **({"variant": self.variant} if run.side == "torch" else {})}
        if done.exists():
            result = json.loads(done.read_text())
            if result["settings"] == settings:
                return result
            sys.exit(f"{folder}: was made with other settings; remove it or choose another --out")
        print(f"{self.data.name}, seed {seed}: {name}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        replay = folder / "replay"
        if base:
            steps = SPARE * base["steps"] if run.minutes else run.iterations
            self.replay(base["folder"], steps, replay)
        trained = self.train(run, seed, folder / "run", replay)
        shutil.rmtree(replay, ignore_errors=True)
        predicted = folder / "predicted"
        predicted.mkdir()
        out = predicted if len(self.data.images) > 1 else predicted / self.data.images[0].name
        call(UNET3D, "predict", folder / "run" / "last.unet3d.safetensors", *self.data.images, "-o", out,
             "--threads", self.threads)
        score, classes = self.data.evaluate(predicted)
        shutil.rmtree(predicted)
        result = {"dataset": self.data.name, "seed": seed, "run": name, "settings": settings,
                  "steps": trained["iterations"], "train_s": trained["elapsed_s"], "score": score,
                  "classes": classes, "folder": str(folder / "run")}
        print(f"    {result['steps']} steps in {result['train_s']:.0f} s: {score:.4f}", file=sys.stderr, flush=True)
        done.write_text(json.dumps(result, indent=1))
        return result

    def seed(self, seed, iterations, minutes):
        """The four runs of a seed."""
        steps = f"{iterations}-steps"
        ours = self.result(Run("ours", iterations), seed, f"ours-{steps}")
        same = self.result(Run("torch", iterations), seed, f"torch-{steps}", ours)
        if minutes is None:
            timed = ours
            late = self.result(Run("torch", minutes=ours["train_s"] / 60), seed, f"torch-time-of-{steps}", ours)
        else:
            timed = self.result(Run("ours", minutes=minutes), seed, f"ours-{minutes:g}-minutes")
            late = self.result(Run("torch", minutes=minutes), seed, f"torch-{minutes:g}-minutes", timed)
        return {"ours": ours, "torch": same, "ours_time": timed, "torch_time": late}


DATA_SETS = {d.name: d for d in (Hippocampus, Fib25)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True,
                        help="folder with hippocampus/ (Decathlon layout, split.tsv) and fib25/ (image.tif, labels.tif)")
    parser.add_argument("--only", choices=DATA_SETS, help="one data set alone")
    parser.add_argument("--iterations", type=int, help="steps [default: 500 on hippocampus, 300 on fib25]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, help="time of the second comparison [default: what ours took in the first]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="compare the first losses and stop")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results")
    arguments = parser.parse_args()
    began = time.monotonic()
    for name in [arguments.only] if arguments.only else DATA_SETS:
        comparison = Comparison(DATA_SETS[name](arguments.data.resolve(), arguments.out.resolve() / name), arguments)
        comparison.check()
        seeds, table = [], ""
        for seed in range(0 if arguments.check else arguments.seeds):
            iterations = arguments.iterations or DATA_SETS[name].iterations
            seeds.append(comparison.seed(seed, iterations, arguments.minutes))
            # After each seed, so that an interrupted comparison is of use.
            table = report.write(arguments.out, name, DATA_SETS[name].score, seeds)
        print(table)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on with the run that was under way")
