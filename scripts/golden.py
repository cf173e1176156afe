"""Golden values: what PyTorch computes for the networks of this project.

In:  nothing but the tables at the end of this file.
Out: safetensors files in crates/unet/tests/data, which the Rust test
     crates/unet/tests/golden.rs compares with the engine.

Everything runs in float64 and is stored rounded to float32 (losses stay
float64), so that a file is the truth up to one rounding and the whole
tolerance belongs to the engine under test.

Two kinds of file:

small   a network of a few channels, complete: input, labels, parameters, logits
        in training and at prediction, the gradient of every parameter, the
        losses of ten SGD steps, running statistics after one step.
preset  a preset of full width at its smallest legal input: logits alone. Input
        and parameters come from `numbers`, a formula that the Rust test
        repeats bit for bit, because storing them would take 76 MB each.

Axis order in the files: input, labels and logits are `n d h w c`, parameters in
the framework's order (`o i kd kh kw`; up-convolutions `i o kd kh kw`).
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

UNLABELED = 255
# Small enough that ten steps descend: a step past the valley multiplies rounding
# errors, and the comparison of losses would be one of chaos.
SGD = {"rate": 0.002, "momentum": 0.9, "steps": 10}
# Factor of the newest value in the running statistics (PyTorch's convention).
RUNNING_MOMENTUM = 0.1


# ---------------------------------------------------------------- the formula

def numbers(name, count):
    """`count` numbers in [-1, 1) that depend on `name` and position alone.

    FNV-1a of the name fills the upper 32 bits of a counter, the position the
    lower ones; SplitMix64's finaliser mixes it; the upper 24 bits become a
    multiple of 2^-23, which f32 and f64 both hold exactly.
    """
    h = 0x811C9DC5
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        x = (np.uint64(h) << np.uint64(32)) + np.arange(count, dtype=np.uint64)
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def fill(salt, name, shape):
    """A parameter: zero-centred with variance 2 / fan_in, or near its neutral value."""
    u = numbers(f"{salt}/{name}", math.prod(shape)).reshape(shape)
    if len(shape) > 1:  # fan_in = count / shape[0], as the authors' Caffe has it
        v = u * math.sqrt(6.0 / math.prod(shape[1:]))
    elif name.endswith(".scale"):
        v = 1.0 + 0.25 * u
    elif name.endswith(".running_var"):
        v = 1.0 + 0.5 * u
    else:
        v = 0.125 * u
    return torch.from_numpy(v.astype(np.float32).astype(np.float64))


def labels_of(salt, shape, classes):
    """Labels, about six voxels of ten unlabeled."""
    u = (numbers(f"{salt}/labels", math.prod(shape)) + 1.0) / 2.0
    drawn = np.floor(u * classes * 2.5).astype(np.int64)
    return np.where(drawn < classes, drawn, UNLABELED).astype(np.uint8).reshape(shape)


# ---------------------------------------------------------------- the network

def shapes_of(config):
    """Name and shape of every parameter, then of every running statistic."""
    levels, bias = config["levels"], config["biases"]
    normalised = config["normalisation"] != "none"
    shapes, running = {}, {}

    def norm(name, channels):
        if normalised:
            shapes[f"{name}.scale"] = shapes[f"{name}.shift"] = (channels,)
        if config["normalisation"] == "batch_running":
            running[f"{name}.running_mean"] = running[f"{name}.running_var"] = (channels,)

    def pair(where, inner, outs, kernel, first):
        for j, out in enumerate(outs):
            shapes[f"{where}.conv{j}.weight"] = (out, inner, *kernel)
            if bias["first"] if first and j == 0 else bias["convolutions"]:
                shapes[f"{where}.conv{j}.bias"] = (out,)
            norm(f"{where}.norm{j}", out)
            inner = out
        return inner

    c, skips = config["in_channels"], []
    for l, level in enumerate(levels):
        c = pair(f"down{l}", c, level["down"], level["kernel"], l == 0)
        skips.append(c)
    for l in reversed(range(len(levels) - 1)):
        up = levels[l]["up"]
        shapes[f"up{l}.upconv.weight"] = (c, up[0], *levels[l]["pool"])
        if bias["up_convolutions"]:
            shapes[f"up{l}.upconv.bias"] = (up[0],)
        if config["up_activation"]:
            norm(f"up{l}.upnorm", up[0])
        c = pair(f"up{l}", up[0] + skips[l], up[1:], levels[l]["kernel"], False)
    shapes["score.weight"] = (config["classes"], c, 1, 1, 1)
    if bias["score"]:
        shapes["score.bias"] = (config["classes"],)
    return shapes, running


class Trace:
    """What a forward pass leaves behind to judge rounding: inputs and outputs by parameter name."""

    def __init__(self):
        self.seen = {}      # parameter name: (factor multiplied with d_output, output)
        self.margin = math.inf
        self.terms = 0      # longest sum of products in one output

    def kink(self, x):
        """Smallest distance of any activation's input from the kink at 0."""
        self.margin = min(self.margin, x.detach().abs().min().item())

    def pool(self, x, size):
        """Smallest distance between the largest and the second of any positive window."""
        x = x.detach()
        for axis, s in zip((2, 3, 4), size):
            if s == 2:  # pairwise along one axis after the other bounds the gap of the window
                a = x.unfold(axis, 2, 2)
                gap = (a[..., 0] - a[..., 1]).abs()[(a[..., 0] > 0) | (a[..., 1] > 0)]
                self.margin = min(self.margin, gap.min().item())
                x = a.max(-1).values


def forward(config, p, x, running=None, training=True, trace=None):
    """Logits; `x` and the result are `n c d h w`. Updates `running` when training."""
    same = config["padding"] == "same"

    def keep(name, factor, out):
        if trace is not None:
            out.retain_grad()
            trace.seen[name] = (factor.detach(), out)

    def norm(name, x):
        how = config["normalisation"]
        if how == "none":
            return x
        scale, shift = p[f"{name}.scale"], p[f"{name}.shift"]
        if how == "instance":
            y = F.instance_norm(x, weight=scale, bias=shift, eps=config["epsilon"])
        elif how == "batch_current":
            y = F.batch_norm(x, None, None, scale, shift, training=True, eps=config["epsilon"])
        else:
            y = F.batch_norm(x, running[f"{name}.running_mean"], running[f"{name}.running_var"],
                             scale, shift, training=training, momentum=RUNNING_MOMENTUM, eps=config["epsilon"])
        if trace is not None:
            column = (1, -1, 1, 1, 1)
            hat = (y - shift.view(column)) / scale.view(column)
            keep(f"{name}.scale", hat, y)
            keep(f"{name}.shift", torch.ones_like(hat), y)
        return y

    def act(x):
        if trace is not None:
            trace.kink(x)
        if config["activation"] == "relu":
            return F.relu(x)
        return F.leaky_relu(x, config["activation"]["leaky_relu"]["slope"])

    def pair(where, x, kernel):
        for j in range(2):
            w, b = p[f"{where}.conv{j}.weight"], p.get(f"{where}.conv{j}.bias")
            y = F.conv3d(x, w, b, padding=tuple(k // 2 for k in kernel) if same else 0)
            if trace is not None:
                trace.terms = max(trace.terms, w[0].numel())
                keep(f"{where}.conv{j}.weight", x, y)
                keep(f"{where}.conv{j}.bias", torch.ones_like(y), y)
            x = act(norm(f"{where}.norm{j}", y))
        return x

    levels, skips = config["levels"], []
    for l, level in enumerate(levels):
        x = pair(f"down{l}", x, level["kernel"])
        skips.append(x)
        if l + 1 < len(levels):
            if trace is not None:
                trace.pool(x, level["pool"])
            x = F.max_pool3d(x, tuple(level["pool"]))
    for l in reversed(range(len(levels) - 1)):
        y = F.conv_transpose3d(x, p[f"up{l}.upconv.weight"], p.get(f"up{l}.upconv.bias"),
                               stride=tuple(levels[l]["pool"]))
        keep(f"up{l}.upconv.weight", x, y)
        keep(f"up{l}.upconv.bias", torch.ones_like(y), y)
        if config["up_activation"]:
            y = act(norm(f"up{l}.upnorm", y))
        skip = skips[l]
        for axis in (2, 3, 4):
            spare = skip.shape[axis] - y.shape[axis]
            assert spare >= 0 and spare % 2 == 0, "not a legal size"
            skip = skip.narrow(axis, spare // 2, y.shape[axis])
        x = pair(f"up{l}", torch.cat([y, skip], 1), levels[l]["kernel"])
    y = F.conv3d(x, p["score.weight"], p.get("score.bias"))
    keep("score.weight", x, y)
    keep("score.bias", torch.ones_like(y), y)
    return y


def loss_of(logits, labels, weights):
    """Sum of w * cross-entropy over sum of w; an unlabeled voxel has w = 0."""
    target = torch.from_numpy(labels.astype(np.int64))
    target[target == UNLABELED] = -1
    return F.cross_entropy(logits, target, torch.tensor(weights, dtype=torch.float64), ignore_index=-1)


# ---------------------------------------------------------------- the files

def normalised(config):
    return config["normalisation"] != "none"


def channels_last(x):
    return np.ascontiguousarray(x.detach().permute(0, 2, 3, 4, 1).numpy().astype(np.float32))


def start(config, salt, batch, size, faint=False):
    shapes, running = shapes_of(config)
    parameters = {k: fill(salt, k, s) for k, s in shapes.items()}
    statistics = {k: fill(salt, k, s) for k, s in running.items()}
    if faint:
        # Variance of the first convolution below 0.01: there the epsilon of the
        # normalisation shows in the values.
        parameters["down0.conv0.weight"] /= 16.0
    c = config["in_channels"]
    x = numbers(f"{salt}/input", batch * math.prod(size) * c).reshape(batch, *size, c)
    return parameters, statistics, torch.from_numpy(x).permute(0, 4, 1, 2, 3).contiguous()


def magnitudes(trace, parameters):
    """How large the terms of each gradient are, whatever is left of them after cancelling.

    A gradient is a sum over voxels of d_output * factor; by Cauchy-Schwarz
    it is at most |d_output| |factor|, and rounding is in proportion to that.
    """
    found = {}
    for name in parameters:
        factor, out = trace.seen[name]
        axes = (0, 2, 3, 4)
        size = out.grad.square().sum(axes).sqrt().max() * factor.square().sum(axes).sqrt().max()
        found[name] = {"magnitude": size.item(), "terms": out.grad.numel() // out.grad.shape[1]}
    return found


def train(config, salt, batch, size, class_weights, steps, at_first):
    """Losses of SGD steps and the smallest margin to a kink; calls `at_first` after the first gradient."""
    parameters, statistics, x = start(config, salt, batch, size, normalised(config))
    losses, velocity, margin, labels = [], {}, math.inf, None
    for p in parameters.values():
        p.requires_grad_(True)
    for step in range(steps):
        trace = Trace()
        logits = forward(config, parameters, x, statistics, True, trace)
        if labels is None:
            labels = labels_of(salt, (batch, *logits.shape[2:]), config["classes"])
        loss = loss_of(logits, labels, class_weights)
        losses.append(loss.item())
        for p in parameters.values():
            p.grad = None
        loss.backward()
        margin = min(margin, trace.margin)
        if step == 0:
            at_first(logits, labels, parameters, statistics, trace)
        with torch.no_grad():  # v = momentum v + g; p = p - rate v
            for k, p in parameters.items():
                velocity[k] = SGD["momentum"] * velocity.get(k, 0.0) + p.grad
                p -= SGD["rate"] * velocity[k]
    return losses, margin


def clear_of_kinks(name, *case):
    """Of 40 sets of numbers the one whose ten steps stay clear of kinks furthest.

    Where an activation lies within rounding of a kink (ReLU at 0, a tie in
    pooling) f32 may take the other side, and no bound on gradients holds.
    """
    config, *rest = case

    def margin(salt, steps):
        alive = []

        def look(logits, labels, parameters, statistics, trace):
            # A network of dead ReLUs has no kinks and proves nothing.
            alive.extend((p.grad != 0).double().mean() > 0.7 for p in parameters.values() if p.dim() > 1)

        found = train(config, salt, *rest, steps, look)[1]
        return found if all(alive) else 0.0

    # The gradients of the first step are compared one by one: clearest there first.
    hopeful = sorted((f"{name}{k}" for k in range(40)), key=lambda salt: margin(salt, 1))[-16:]
    return max(hopeful, key=lambda salt: margin(salt, SGD["steps"]))


def small_case(name, config, batch, size, class_weights):
    salt = clear_of_kinks(name, config, batch, size, class_weights)
    parameters, statistics, x = start(config, salt, batch, size, normalised(config))
    tensors = {f"parameter/{k}": v.numpy().astype(np.float32) for k, v in parameters.items()}
    tensors |= {f"running/{k}": v.numpy().astype(np.float32) for k, v in statistics.items()}
    tensors["input"] = channels_last(x)
    with torch.no_grad():
        tensors["logits_predict"] = channels_last(forward(config, parameters, x, statistics, False))
    about = {
        "config": config, "salt": salt, "class_weights": class_weights, "sgd": SGD,
        "running_momentum": RUNNING_MOMENTUM,
    }

    def at_first(logits, labels, parameters, statistics, trace):
        tensors["labels"] = labels
        tensors["logits_train"] = channels_last(logits)
        for k, p in parameters.items():
            tensors[f"gradient/{k}"] = p.grad.numpy().astype(np.float32)
        for k, v in statistics.items():
            tensors[f"running_after/{k}"] = v.numpy().astype(np.float32)
        about["terms"], about["gradients"] = trace.terms, magnitudes(trace, parameters)

    losses, about["kink_margin"] = train(config, salt, batch, size, class_weights, SGD["steps"], at_first)
    tensors["losses"] = np.array(losses, dtype=np.float64)
    return tensors, about


def preset_case(name, config, size):
    parameters, statistics, x = start(config, name, 1, size)
    with torch.no_grad():
        logits = forward(config, parameters, x, statistics, False)
    shapes, _ = shapes_of(config)
    about = {
        "config": config, "salt": name, "input": [1, *size, config["in_channels"]],
        "terms": max(math.prod(s[1:]) for s in shapes.values() if len(s) > 1),
        "parameters": sum(math.prod(s) for s in shapes.values()),
    }
    return {"logits_predict": channels_last(logits)}, about


# ---------------------------------------------------------------- the tables

def level(down, up=(0, 0, 0), kernel=(3, 3, 3), pool=(2, 2, 2)):
    return {"down": list(down), "up": list(up), "kernel": list(kernel), "pool": list(pool)}


def config(levels, padding, normalisation, *, in_channels=3, classes=3, activation="relu",
           up_activation=False, dropout=0.0, biases=(True, True, True, True), epsilon=1e-5):
    return {
        "in_channels": in_channels, "classes": classes, "levels": levels, "padding": padding,
        "normalisation": normalisation, "activation": activation, "up_activation": up_activation,
        "dropout": dropout,
        "biases": dict(zip(("first", "convolutions", "up_convolutions", "score"), biases)),
        "epsilon": epsilon,
    }


LEAKY = {"leaky_relu": {"slope": 0.125}}  # exact in f32

# name: (configuration, batch, [d, h, w], class weights). Between them: both
# paddings, every normalisation, both activations, up_activation with and
# without normalisation, biases in every combination a preset uses, kernels
# and pools that differ by axis, sizes that differ by axis, batches of 1 and 2.
FLAT = dict(kernel=(1, 3, 3), pool=(1, 2, 2))
SMALL = {
    "none_valid": (config(
        [level((4, 8), (16, 8, 8)), level((8, 16))],
        "valid", "none", in_channels=2, biases=(True, True, False, True)), 1, (20, 22, 24), [0.5, 1.5, 1.0]),
    "none_leaky_same": (config(
        [level((4, 6), (10, 6, 5), (1, 3, 3), (2, 2, 1)), level((7, 9), (11, 9, 7), (3, 1, 3), (1, 2, 2)),
         level((9, 13), kernel=(3, 3, 1))],
        "same", "none", in_channels=1, classes=4, activation=LEAKY, up_activation=True),
        2, (6, 12, 10), [1.0, 0.25, 2.0, 1.0]),
    "batch_current_same": (config(
        [level((4, 8), (16, 8, 8), **FLAT), level((8, 16), (20, 12, 16)), level((16, 20))],
        "same", "batch_current", classes=3), 2, (4, 12, 16), [1.0, 1.0, 1.0]),
    "batch_current_released": (config(
        [level((4, 8), (16, 8, 8)), level((8, 16))],
        "valid", "batch_current", up_activation=True, biases=(True, False, False, True)),
        1, (20, 24, 22), [0.1, 2.0, 0.7]),
    "batch_running_valid": (config(
        [level((4, 8), (8, 6, 4), **FLAT), level((12, 8))],
        "valid", "batch_running", classes=2, in_channels=1, epsilon=1e-3), 2, (8, 20, 24), [1.0, 3.0]),
    # Channels in sixteens and tiles that do not divide the size: the fast
    # convolutions in all three passes.
    "instance_wide_same": (config(
        [level((16, 16), (16, 16, 16)), level((16, 32))],
        "same", "instance"), 1, (6, 10, 14), [1.0, 0.5, 2.0]),
    "instance_leaky_valid": (config(
        [level((4, 8), (16, 8, 8), kernel=(1, 3, 3)), level((8, 16))],
        "valid", "instance", in_channels=2, activation=LEAKY, up_activation=True), 2, (12, 20, 24), [1.0, 2.0, 0.5]),
}


def doubling(normalisation, **options):
    """The widths of the paper: channels double before pooling, up-convolutions keep theirs."""
    shape = {k: options.pop(k) for k in ("kernel", "pool") if k in options}
    return config(
        [level((32, 64), (128, 64, 64), **shape), level((64, 128), (256, 128, 128), **shape),
         level((128, 256), (512, 256, 256), **shape), level((256, 512), **shape)],
        "valid", normalisation, **options)


BLOG = [level((32, 32), (32, 32, 32)), level((64, 64), (64, 64, 32)),
        level((128, 128), (128, 128, 64)), level((256, 128))]
SMALL_LEVELS = [level((16, 16), (16, 16, 16)), level((32, 32), (32, 32, 32)), level((64, 64))]
PRESETS = {
    "paper": (doubling("none", biases=(True, True, False, True)), (92, 92, 92)),
    "released": (doubling("batch_current", up_activation=True, biases=(True, False, False, True)), (92, 92, 92)),
    "common": (doubling("batch_current"), (92, 92, 92)),
    "blog": (config(BLOG, "valid", "batch_running", dropout=0.3, epsilon=1e-3), (92, 92, 92)),
    "twin2d": (doubling("batch_current", **FLAT), (3, 92, 100)),
    "small": (config(SMALL_LEVELS, "same", "instance"), (12, 16, 20)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the files")
    parser.add_argument("names", nargs="*", help="cases to make; all without")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    for name, case in (SMALL | PRESETS).items():
        if arguments.names and name not in arguments.names:
            continue
        make = small_case if name in SMALL else preset_case
        tensors, about = make(name, *case)
        path = arguments.out / f"{name}.safetensors"
        save_file(tensors, path, {"torch": torch.__version__, "golden": json.dumps(about)})
        rest = f"losses {tensors['losses'][0]:.4f} to {tensors['losses'][-1]:.4f}, kink margin {about['kink_margin']:.1e}" \
            if name in SMALL else f"{about['parameters']} parameters, logits to {abs(tensors['logits_predict']).max():.3f}"
        print(f"{path.name}: {path.stat().st_size} bytes, logits {tensors['logits_predict'].shape}, {rest}", flush=True)


if __name__ == "__main__":
    main()
