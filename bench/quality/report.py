"""Tables and curves of the comparison: NAME.md, NAME.csv, NAME.png of each data set.

`write` takes the four results of each seed as quality.py has them.
"""

import csv
import json
import pathlib
import statistics

COLUMNS = {  # of the table, in turn
    "ours": "ours, same steps",
    "torch": "PyTorch, same steps",
    "ours_time": "ours, same time",
    "torch_time": "PyTorch, same time",
}
MARGIN = 0.01  # by which ours may stay behind at the same steps
SMOOTHED = 0.04  # share of the curve that a point is the mean of


def log(run):
    lines = (pathlib.Path(run) / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line.get("kind", "step") == "step"]


def losses(run):
    """Loss of each step; the two sides name it differently."""
    return [line["total"] if "total" in line else line["loss"] for line in log(run)]


def seconds(result):
    """Seconds after each step. The log of unet3d has no clock: its steps take equal time."""
    lines = log(result["folder"])
    if "seconds" in lines[0]:
        return [line["seconds"] for line in lines]
    return [result["train_s"] * line["step"] / result["steps"] for line in lines]


def smooth(values):
    """Mean of the last values: the curve of a batch is noise."""
    width = max(1, round(SMOOTHED * len(values)))
    return [statistics.fmean(values[max(0, i + 1 - width):i + 1]) for i in range(len(values))]


def table(seeds, score):
    mean = {c: statistics.fmean(s[c]["score"] for s in seeds) for c in COLUMNS}
    spread = {c: statistics.stdev([s[c]["score"] for s in seeds]) if len(seeds) > 1 else 0.0 for c in COLUMNS}
    row = lambda first, cells: f"| {first} | " + " | ".join(cells) + " |"
    lines = [row(f"{score}, seed", COLUMNS.values()), "|" + "---|" * (len(COLUMNS) + 1)]
    for s in seeds:
        lines.append(row(s["ours"]["seed"], (
            f"{s[c]['score']:.4f} ({s[c]['steps']} steps, {s[c]['train_s']:.0f} s)" for c in COLUMNS)))
    lines.append(row("mean (standard deviation)", (f"{mean[c]:.4f} ({spread[c]:.4f})" for c in COLUMNS)))
    by_steps, by_time = mean["ours"] - mean["torch"], mean["ours_time"] - mean["torch_time"]
    reached = lambda yes: "reached" if yes else "missed"
    lines += ["", f"Same steps: ours {by_steps:+.4f} (at least {-MARGIN}: {reached(by_steps >= -MARGIN)}). "
                  f"Same time: ours {by_time:+.4f} (above 0: {reached(by_time > 0)})."]
    return lines


def curves(seeds, name, path):
    """Loss by step of the same steps, and by time of the same time."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    colours = {"ours": "tab:blue", "torch": "tab:orange"}
    for kind, axis, label in (("", axes[0], "step"), ("_time", axes[1], "seconds of training")):
        for s in seeds:
            for side, colour in colours.items():
                result = s[side + kind]
                x = seconds(result) if kind else range(1, result["steps"] + 1)
                who = {"ours": "unet3d", "torch": "PyTorch"}[side]
                axis.plot(x, smooth(losses(result["folder"])), color=colour, linewidth=1,
                          label=who if s is seeds[0] else None)
        axis.set_xlabel(label)
        axis.legend()
    axes[0].set_ylabel("training loss, smoothed")
    figure.suptitle(f"{name}: the same steps, the same time; a line a seed")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def write(out, name, score, seeds):
    """Everything of a data set, from the seeds that are finished; the table."""
    text = "\n".join([f"## {name}", "", *table(seeds, score), ""])
    (out / f"{name}.md").write_text(text)
    curves(seeds, name, out / f"{name}.png")
    with open(out / f"{name}.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["compared", "seed", "steps", "train_s", "score", "classes"])
        for s in seeds:
            for column, r in s.items():
                rows.writerow([COLUMNS[column], r["seed"], r["steps"], r["train_s"], r["score"], json.dumps(r["classes"])])
    return text
