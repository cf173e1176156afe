"""The curves of `winograd.sh`: a table on standard output, `curves.svg` in this folder."""

import json
import pathlib

WINDOW = 50  # steps that a mean is taken over
RUNS = [(way, seed) for seed in (0, 1) for way in ("fastest", "direct")]
COLOURS = {("fastest", 0): "#0b5394", ("direct", 0): "#e69138", ("fastest", 1): "#6fa8dc", ("direct", 1): "#f9cb9c"}
NAMES = {"fastest": "Winograd", "direct": "direct"}


def losses(name):
    lines = map(json.loads, pathlib.Path(name, "log.jsonl").read_text().splitlines())
    return [line["total"] for line in lines if line["kind"] == "step"]


def main():
    curves = {run: losses("{}-{}".format(*run)) for run in RUNS}
    steps = len(curves[RUNS[0]])
    ends = range(WINDOW, steps + 1, WINDOW)
    print("| seed | convolution |", " | ".join(f"to {end}" for end in ends), "| mean IoU | training |")
    print("|---|---|" + "---|" * (len(ends) + 2))
    for (way, seed), curve in curves.items():
        name = f"{way}-{seed}"
        means = [sum(curve[end - WINDOW:end]) / WINDOW for end in ends]
        iou = json.loads(pathlib.Path(name + ".scores").read_text())["mean_iou"]
        seconds = json.loads(pathlib.Path(name + ".json").read_text())["training_s"]
        print(f"| {seed} | {NAMES[way]} |", " | ".join(f"{mean:.3f}" for mean in means), f"| {iou:.4f} | {seconds:.0f} s |")
    pathlib.Path("curves.svg").write_text(picture(curves, steps))


def picture(curves, steps):
    """Means over ten steps, over the step."""
    width, height, margin, smooth = 720, 320, 40, 10
    most = max(sum(c[:smooth]) / smooth for c in curves.values())
    x = lambda step: margin + step / steps * (width - 2 * margin)
    y = lambda loss: height - margin - loss / most * (height - 2 * margin)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
             '<rect width="100%" height="100%" fill="white"/>']
    for tick in range(0, steps + 1, 50):
        parts.append(f'<text x="{x(tick):.0f}" y="{height - 20}" text-anchor="middle">{tick}</text>')
    for tick in range(int(most / 0.5) + 1):
        at = y(tick / 2)
        parts.append(f'<path d="M{margin} {at:.1f}H{width - margin}" stroke="#ddd"/>')
        parts.append(f'<text x="{margin - 6}" y="{at + 4:.0f}" text-anchor="end">{tick / 2}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">step</text>')
    for i, (run, curve) in enumerate(curves.items()):
        means = [sum(curve[a:a + smooth]) / smooth for a in range(0, steps - smooth + 1, smooth)]
        points = " ".join(f"{x((k + 0.5) * smooth):.1f},{y(mean):.1f}" for k, mean in enumerate(means))
        dash = ' stroke-dasharray="5 3"' if run[0] == "direct" else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[run]}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{width - 210}" y="{60 + 18 * i}" fill="{COLOURS[run]}">{NAMES[run[0]]}, seed {run[1]}</text>')
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    main()
