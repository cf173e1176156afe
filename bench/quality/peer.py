"""The PyTorch side: the training run that replay.rs wrote down, step by step.

    peer.py train REPLAY OUT (--iterations N | --minutes M) [--variant NAME] [--threads N] [--f64]
    peer.py pace REPLAY [--threads N]

REPLAY is a folder of replay.rs: start values, data, and the place of every patch. `train`
writes into OUT log.jsonl (a line a step: loss, rate, seconds since the first step) and
last.unet3d.safetensors, a model that `unet3d predict` reads. The network is that of
bench/peers/models.py. `pace` times a step of each variant of it and prints them as JSON.

Everything is f32, but with --f64, which shows how far rounding carries. A variant is a
memory layout and one of two forms of the same instance normalisation: they differ in
speed, and in the last bits of the result.
"""

import argparse
import contextlib
import json
import math
import pathlib
import re
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

sys.path.append(str(pathlib.Path(__file__).parent.parent / "peers"))
import models

UNLABELED = 255
IGNORED = -100  # cross_entropy's mark of a voxel that does not count
DICE_SMOOTH = 1.0
VARIANTS = {
    "contiguous+instance": (torch.contiguous_format, False),
    "contiguous+group": (torch.contiguous_format, True),
    "channels_last+instance": (torch.channels_last_3d, False),
    "channels_last+group": (torch.channels_last_3d, True),
}


class Replay:
    """What replay.rs wrote: data, configuration, the batch of every step."""

    def __init__(self, folder):
        with safe_open(folder / "replay.safetensors", "np") as file:
            about = json.loads(file.metadata()["replay"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        self.config, self.margin, self.classes = about["config"], about["margin"], about["classes"]
        self.input, self.output = about["patch"]["input"], about["patch"]["output"]
        self.order, self.class_weights = tensors.pop("order"), torch.from_numpy(tensors.pop("class_weights"))
        if self.config["augment"]["border"] != "mirror":
            raise SystemExit("the run has another border than mirrored ones, which is not written here")
        count = len(tensors) // 2
        self.images = [tensors[f"image/{i}"] for i in range(count)]
        weighed = np.append(self.class_weights.numpy() > 0, np.zeros(256 - len(self.classes), bool))
        self.labels = [np.where(weighed[l], l.astype(np.int64), IGNORED)
                       for l in (tensors[f"labels/{i}"] for i in range(count))]
        with safe_open(folder / "initial.unet3d.safetensors", "np") as file:
            self.initial, self.metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()

    def batch(self, step):
        """Input `n c d h w` and labels `n d h w`."""
        inputs, labels = [], []
        for case, *start in self.order[step]:
            inputs.append(cut(self.images[case], start, self.input))
            inner = [s + m for s, m in zip(start, self.margin)]
            labels.append(cut(self.labels[case], inner, self.output))
        return torch.from_numpy(np.stack(inputs)).movedim(4, 1), torch.from_numpy(np.stack(labels))


def cut(volume, start, shape):
    """A box of a volume that goes on beyond its border as its mirror image."""
    def mirrored(first, length, n):
        at = np.arange(first, first + length) % max(2 * n - 2, 1)
        return np.where(at < n, at, 2 * n - 2 - at)

    return volume[np.ix_(*map(mirrored, start, shape, volume.shape))]


def network(replay, variant):
    """The network with its start values."""
    layout, group = VARIANTS[variant]
    preset, channels = replay.config["preset"], replay.images[0].shape[3]
    model = models.unet(preset, in_channels=channels, classes=len(replay.classes))
    if group:
        for block in [*model.down, *model.up]:
            for i, layer in enumerate(block):
                if isinstance(layer, nn.InstanceNorm3d):  # a group of one channel
                    block[i] = nn.GroupNorm(layer.num_features, layer.num_features, eps=layer.eps)
    ours = {name: our_name(name, len(model.down)) for name in model.state_dict()}
    missing = set(replay.initial) ^ set(ours.values())
    if missing:
        raise SystemExit(f"the two networks differ in {sorted(missing)}")
    model.load_state_dict({name: torch.from_numpy(replay.initial[our]) for name, our in ours.items()})
    return model.to(memory_format=layout), ours


def our_name(name, levels):
    """`down.1.3.weight` of PyTorch is `down1.conv1.weight` in our files."""
    part, _, rest = name.partition(".")
    if part == "score":
        return name
    index, _, rest = rest.partition(".")
    level = int(index) if part == "down" else levels - 2 - int(index)
    if part == "lift":
        return f"up{level}.upconv.{rest}"
    layer, kind = re.fullmatch(r"(\d+)\.(weight|bias)", rest).groups()
    pair, place = divmod(int(layer), 3)  # convolution, normalisation, activation
    kind = kind if place == 0 else {"weight": "scale", "bias": "shift"}[kind]
    return f"{part}{level}.{('conv', 'norm')[place]}{pair}.{kind}"


def loss_of(logits, labels, config, weights):
    """Cross-entropy and soft Dice as crates/kernels/src/softmax/mod.rs has them."""
    cross_entropy = F.cross_entropy(logits, labels, weights, ignore_index=IGNORED)
    counted = (labels != IGNORED).unsqueeze(1)
    truth = labels.unsqueeze(1) == torch.arange(len(weights)).view(1, -1, 1, 1, 1)
    p = logits.softmax(1) * counted
    over = (0, 2, 3, 4)
    hit, p_sum, n = (p * truth).sum(over), p.sum(over), truth.sum(over)
    dice = 1 - ((2 * hit + DICE_SMOOTH) / (p_sum + n + DICE_SMOOTH))[n > 0].mean()
    return config["cross_entropy"] * cross_entropy + config["dice"] * dice


def optimizer_of(model, ours, config):
    """The optimizer; weights decay, biases and normalisations do not."""
    decayed = [p for name, p in model.named_parameters() if p.dim() > 1]
    others = [p for name, p in model.named_parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": config.get("weight_decay", 0.0)},
              {"params": others, "weight_decay": 0.0}]
    if config["kind"] == "sgd":
        if config["form"] != "pytorch":
            raise SystemExit("momentum in the form of Caffe is not written here")
        return torch.optim.SGD(groups, config["rate"], config["momentum"], fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config["kind"]]
    return kind(groups, config["rate"], config["betas"], fused=True)


def factor(schedule, step, progress):
    """Factor of the learning rate, as crates/train/src/schedule.rs has it."""
    warm_up = min((step + 1) / schedule["warm_up"], 1.0) if schedule["warm_up"] else 1.0
    decay = schedule["decay"]
    if decay["kind"] == "constant":
        return warm_up
    if decay["kind"] == "step":
        return warm_up * decay["factor"] ** (step // max(decay["every"], 1))
    if decay["kind"] == "polynomial":
        return warm_up * (1.0 - progress) ** decay["power"]
    return warm_up * (decay["last"] + (1.0 - decay["last"]) * 0.5 * (1.0 + math.cos(math.pi * progress)))


class Training:
    def __init__(self, replay, variant, kind=torch.float32):
        self.replay, self.config = replay, replay.config
        self.model, self.ours = network(replay, variant)
        self.model.to(kind)
        self.to = {"dtype": kind, "memory_format": VARIANTS[variant][0]}
        self.class_weights = replay.class_weights.to(kind)
        self.optimizer = optimizer_of(self.model, self.ours, self.config["optimizer"])

    def step(self, number, progress):
        """One training step; its loss and learning rate."""
        rate = self.config["optimizer"]["rate"] * factor(self.config["schedule"], number, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x, labels = self.replay.batch(number)
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(x.to(**self.to))
        loss = loss_of(logits, labels, self.config["loss"], self.class_weights)
        loss.backward()
        if self.config.get("clip_norm"):
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config["clip_norm"])
        self.optimizer.step()
        return loss.item(), rate

    def save(self, path):
        """The model as our file, with the pipeline of the one it began from."""
        state = self.model.state_dict()
        tensors = {ours: state[name].float().contiguous().numpy() for name, ours in self.ours.items()}
        save_file(tensors, path, self.replay.metadata)


def train(replay, arguments):
    # The first step of a process compiles and allocates: not ours to count against it.
    Training(replay, arguments.variant).step(0, 0.0)
    training = Training(replay, arguments.variant, torch.float64 if arguments.f64 else torch.float32)
    arguments.out.mkdir(parents=True, exist_ok=True)
    started, told, number = time.perf_counter(), 0.0, 0
    with open(arguments.out / "log.jsonl", "w") as log:
        while True:
            elapsed = time.perf_counter() - started
            share = number / arguments.iterations if arguments.iterations else elapsed / (60 * arguments.minutes)
            if elapsed - told > 10 and number:
                told, left = elapsed, elapsed * (1 / share - 1)
                print(f"    step {number}, {left:.0f} s left", file=sys.stderr, flush=True)
            if share >= 1:
                break
            if number == len(replay.order):
                raise SystemExit(f"only {number} steps were written down; replay.rs --steps must be more")
            loss, rate = training.step(number, share)
            number += 1
            line = {"step": number, "loss": loss, "rate": rate, "seconds": time.perf_counter() - started}
            log.write(json.dumps(line) + "\n")
    training.save(arguments.out / "last.unet3d.safetensors")
    print(json.dumps({"iterations": number, "elapsed_s": elapsed}))


def pace(replay):
    """Seconds of a step, the fastest of three, for each variant."""
    seconds = {}
    for variant in VARIANTS:
        training = Training(replay, variant)
        times = []
        for number in range(4):
            started = time.perf_counter()
            training.step(number % len(replay.order), 0.0)
            times.append(time.perf_counter() - started)
        seconds[variant] = min(times[1:])
        print(f"    PyTorch, {variant}: {seconds[variant]:.3f} s a step", file=sys.stderr, flush=True)
    print(json.dumps(seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "pace"))
    parser.add_argument("replay", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, nargs="?")
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--variant", choices=VARIANTS, default="channels_last+group")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--f64", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    replay = Replay(arguments.replay)
    with contextlib.suppress(KeyboardInterrupt):
        if arguments.what == "pace":
            return pace(replay)
        if not arguments.out or bool(arguments.iterations) == bool(arguments.minutes):
            parser.error("train needs OUT and one of --iterations and --minutes")
        return train(replay, arguments)
    sys.exit(130)


if __name__ == "__main__":
    main()
