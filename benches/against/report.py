"""What the rounds have shown: speeds, ratios and their mean, as JSON and as a table."""

import math
import statistics
from dataclasses import dataclass

from turns import Round

OURS = "mixfold"
TITLES = {
    "pytorch": "PyTorch",
    "compiled": "PyTorch, compiled",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "mixfold": "mixfold",
}
SLOWER = "slower"


@dataclass(frozen=True)
class Measured:
    """A model with a number of threads and a batch size, and what each engine showed there."""

    model: str
    threads: int
    batch: int
    tolerance: float
    errors: dict[str, float]
    rounds: list[Round]

    def best(self, engine: str) -> float:
        """Images per second of its fastest run."""
        return self.batch / min(taken[engine]["best"] for taken in self.rounds)

    def median(self, engine: str) -> float:
        """Images per second: the median over the rounds, each with the median of its runs."""
        return self.batch / statistics.median(taken[engine]["median"] for taken in self.rounds)

    def peers(self) -> list[str]:
        return [engine for engine in self.rounds[0] if engine != OURS]

    def best_peer(self) -> str | None:
        """The one that is the fastest of them in the median."""
        return max(self.peers(), key=self.median, default=None)

    def ratio(self, peer: str | None) -> float | None:
        """How many times as fast as a peer mixfold is: the median over the rounds, both in the same one."""
        if peer not in self.rounds[0] or OURS not in self.rounds[0]:
            return None
        return statistics.median(taken[peer]["median"] / taken[OURS]["median"] for taken in self.rounds)

    def peak_fraction(self) -> float | None:
        """How much of the peak of multiply-adds mixfold's fastest runs reach, the median over the rounds."""
        if OURS not in self.rounds[0]:
            return None
        return statistics.median(taken[OURS]["peak_fraction"] for taken in self.rounds)

    def title(self) -> str:
        return f"{self.model}, {count(self.threads, 'thread')}, batch {self.batch}"

    def json(self) -> dict:
        """All of it, for programs."""
        engines = {
            engine: {
                "images_per_s": self.best(engine),
                "images_per_s_median": self.median(engine),
                "mixfold_times": None if engine == OURS else self.ratio(engine),
                "error": self.errors[engine],
            }
            for engine in TITLES
            if engine in self.rounds[0]
        }
        return {
            "model": self.model,
            "threads": self.threads,
            "batch": self.batch,
            "tolerance": self.tolerance,
            "engines": engines,
            "best_peer": self.best_peer(),
            "mixfold_times_best_peer": self.ratio(self.best_peer()),
            "mixfold_peak_fraction": self.peak_fraction(),
            "rounds": self.rounds,
        }


def count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def speed(images_per_second: float) -> str:
    """Three digits, or all in front of the point."""
    digits = 2 if images_per_second < 9.995 else 1 if images_per_second < 99.95 else 0
    return f"{images_per_second:.{digits}f}"


def geometric_mean(ratios: list[float | None]) -> float | None:
    """Of those that are there, if any."""
    there = [ratio for ratio in ratios if ratio is not None]
    return math.exp(statistics.fmean(map(math.log, there))) if there else None


def geometric_means(cells: list[Measured]) -> dict[str, float]:
    """How many times as fast mixfold is over all cells: as the best peer of each, and as each peer."""
    means = {"best_peer": geometric_mean([cell.ratio(cell.best_peer()) for cell in cells])}
    for peer in TITLES:
        if peer != OURS:
            means[peer] = geometric_mean([cell.ratio(peer) for cell in cells])
    return {name: mean for name, mean in means.items() if mean is not None}


def lost(cells: list[Measured]) -> list[Measured]:
    """Those in which a peer is faster."""
    ratios = [(cell, cell.ratio(cell.best_peer())) for cell in cells]
    return [cell for cell, ratio in ratios if ratio is not None and ratio < 1]


def row(cell: Measured, engines: list[str]) -> list[str]:
    """A cell's row of the table. The best peer is bold, as is what marks a lost cell."""
    peer = cell.best_peer()
    texts = [cell.model, str(cell.threads), str(cell.batch)]
    for engine in engines:
        text = f"{speed(cell.median(engine))} ({speed(cell.best(engine))})"
        texts.append(f"**{text}**" if engine == peer else text)
    ratio, fraction = cell.ratio(peer), cell.peak_fraction()
    texts.append("" if fraction is None else f"{100 * fraction:.0f} %")
    if ratio is None:
        texts.append("")
    else:
        texts.append(f"{ratio:.2f}" if ratio >= 1 else f"**{ratio:.2f} {SLOWER}**")
    return texts


def markdown(header: list[str], left: int, rows: list[list[str]]) -> list[str]:
    """A table whose first `left` columns are aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]

    def line(texts: list[str]) -> str:
        places = enumerate(zip(texts, widths))
        cells = [text.ljust(width) if i < left else text.rjust(width) for i, (text, width) in places]
        return f"| {' | '.join(cells)} |"

    rule = [("-" * w if i < left else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    return [line(header), line(rule), *map(line, rows)]


def summary(cells: list[Measured]) -> list[str]:
    """The means, and where mixfold is slower."""
    means = geometric_means(cells)
    if not means:
        return []
    cell_count = count(len(cells), "cell")
    best = means.pop("best_peer")
    against = ", ".join(f"{TITLES[peer]} {mean:.2f}" for peer, mean in means.items())
    slower = lost(cells)
    names = "".join(f"{':' if i == 0 else ';'} {cell.title()}" for i, cell in enumerate(slower))
    return [
        f"Geometric mean over {cell_count}: {best:.2f} times as fast as the best peer of each; as {against}.",
        f"mixfold is slower than the best peer in {len(slower)} of {cell_count}{names}.",
    ]


def largest_errors(cells: list[Measured], engines: list[str]) -> str:
    """By how much the logits of each engine differ from PyTorch's."""
    texts = [f"{TITLES[engine]} {max(cell.errors[engine] for cell in cells):.1e}" for engine in engines]
    allowed = min(cell.tolerance for cell in cells)
    return f"Largest error of the logits, of the largest logit: {', '.join(texts)}; allowed: {allowed:.1e} or more."


def report(cells: list[Measured], machine: str, versions: list[str]) -> str:
    """The table and all that belongs to it, as Markdown."""
    engines = [engine for engine in TITLES if engine in cells[0].rounds[0]]
    titles = [TITLES[engine] for engine in engines]
    header = ["model", "threads", "batch", *titles, "of the peak", "times best peer"]
    table = markdown(header, 1, [row(cell, engines) for cell in cells])
    rounds = sorted({len(cell.rounds) for cell in cells})
    how_many = f"{rounds[0]} to {rounds[-1]} rounds" if len(rounds) > 1 else count(rounds[0], "round")
    notes = [
        f"{machine}. {', '.join(versions)}.",
        f"Images per second: median (fastest run), of {how_many}; `f32`.",
        *summary(cells),
        largest_errors(cells, engines),
    ]
    return "\n".join([*table, "", "\n\n".join(notes)]) + "\n"
