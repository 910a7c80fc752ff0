#!/usr/bin/env python3
"""Tests of how `models.py` takes turns and of what it computes from them; they need no engines.

    python -m unittest discover benches/against
"""

import math
import unittest
from types import SimpleNamespace

from models import check
from report import Measured, geometric_mean, geometric_means, lost, markdown, report, row, speed, summary
from turns import EngineFailed, take

ERRORS = {"pytorch": 0.0, "openvino": 2e-6, "mixfold": 1e-6}


def measured(**seconds: list[float]) -> Measured:
    """With the medians of each engine's turns; its fastest runs take half as long. The batch is 6."""
    rounds = []
    for turns in zip(*seconds.values()):
        rounds.append({engine: {"best": s / 2, "median": s, "runs": 2} for engine, s in zip(seconds, turns)})
    for number, taken in enumerate(rounds):
        if "mixfold" in taken:
            taken["mixfold"]["peak_fraction"] = 0.5 + 0.1 * number
    return Measured("model", 1, 6, 1e-4, ERRORS, rounds)


# In the first round OpenVINO is the fastest of all, in the median PyTorch is the best peer.
MIXED = measured(pytorch=[2.0, 2.0, 4.0], openvino=[0.5, 3.0, 5.0], mixfold=[1.0, 4.0, 1.0])
LOST = measured(pytorch=[2.0, 2.0, 2.0], openvino=[9.0, 9.0, 9.0], mixfold=[4.0, 4.0, 4.0])


class OfCells(unittest.TestCase):
    def test_speeds_are_of_the_fastest_run_and_the_median_round(self):
        self.assertEqual(MIXED.best("openvino"), 6 / 0.25)
        self.assertEqual(MIXED.median("openvino"), 6 / 3.0)

    def test_the_best_peer_is_that_of_the_median(self):
        self.assertEqual(MIXED.best_peer(), "pytorch")

    def test_a_ratio_is_the_median_of_those_within_the_rounds(self):
        # 2, 1/2 and 4; of the medians of the times it would be 2 too, of the sums 8/6.
        self.assertEqual(MIXED.ratio("pytorch"), 2.0)
        # 1/2, 3/4 and 5; of the medians it would be 3.
        self.assertEqual(MIXED.ratio("openvino"), 0.75)

    def test_the_share_of_the_peak_is_a_median(self):
        self.assertAlmostEqual(MIXED.peak_fraction(), 0.6)

    def test_without_mixfold_or_peers_there_is_no_ratio(self):
        for alone in [measured(pytorch=[1.0]), measured(mixfold=[1.0])]:
            self.assertIsNone(alone.ratio(alone.best_peer()))
            self.assertEqual(lost([alone]), [])
            self.assertEqual(geometric_means([alone]), {})
            self.assertEqual(summary([alone]), [])
            self.assertIn("model", report([alone], "machine", ["version"]))

    def test_json_holds_every_engine(self):
        found = MIXED.json()
        self.assertEqual(found["mixfold_times_best_peer"], 2.0)
        self.assertEqual(found["engines"]["openvino"]["images_per_s_median"], 2.0)
        self.assertIsNone(found["engines"]["mixfold"]["mixfold_times"])


class OverCells(unittest.TestCase):
    def test_geometric_means(self):
        self.assertAlmostEqual(geometric_mean([8.0, 2.0, 0.5]), 2.0)
        self.assertAlmostEqual(geometric_mean([None, 3.0]), 3.0)
        self.assertIsNone(geometric_mean([None]))
        means = geometric_means([MIXED, LOST])
        self.assertAlmostEqual(means["best_peer"], 1.0)
        self.assertAlmostEqual(means["openvino"], (0.75 * 2.25) ** 0.5)

    def test_lost_cells_count_and_are_marked(self):
        self.assertEqual(lost([MIXED, LOST]), [LOST])
        self.assertEqual(row(LOST, ["pytorch"])[-1], "**0.50 slower**")
        self.assertEqual(row(MIXED, ["pytorch"])[-1], "2.00")
        sentence = summary([MIXED, LOST])[1]
        self.assertIn("slower than the best peer in 1 of 2 cells: model, 1 thread, batch 6.", sentence)

    def test_the_best_peer_is_bold(self):
        _, _, _, pytorch, openvino, *_ = row(MIXED, ["pytorch", "openvino"])
        self.assertEqual((pytorch, openvino), ("**3.00 (6.00)**", "2.00 (24.0)"))


class Texts(unittest.TestCase):
    def test_numbers_have_three_digits_or_more(self):
        cases = {9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100", 1234.5: "1234"}
        self.assertEqual({value: speed(value) for value in cases}, cases)

    def test_tables_are_aligned(self):
        expected = ["| a   |  b |", "| --- | -: |", "| ccc | 10 |"]
        self.assertEqual(markdown(["a", "b"], 1, [["ccc", "10"]]), expected)


class Logits(unittest.TestCase):
    def checked(self, **errors: float) -> dict[str, float]:
        workers = [SimpleNamespace(engine=engine, error=error) for engine, error in errors.items()]
        return check("model", workers, 1e-4)

    def test_an_engine_that_differs_too_much_ends_the_comparison(self):
        self.assertEqual(self.checked(**ERRORS), ERRORS)
        for error in [1.1e-4, math.inf, math.nan]:
            with self.assertRaises(EngineFailed) as caught:
                self.checked(pytorch=0.0, openvino=error)
            self.assertIn(f"OpenVINO: {error:.1e}", str(caught.exception))


class FakeWorker:
    """Notes when it is on turn."""

    def __init__(self, engine: str, log: list[str]) -> None:
        self.engine, self.log = engine, log

    def turn(self, seconds: float) -> dict[str, float]:
        self.log.append(self.engine)
        return {"median": seconds}


class Turns(unittest.TestCase):
    def taken(self, rounds: int | None, budget: float) -> tuple[int, list[str]]:
        log: list[str] = []
        workers = [FakeWorker(engine, log) for engine in "abc"]
        return len(take(workers, 0.3, rounds, budget, least=3)), log

    def test_all_take_part_in_every_round_in_changing_order(self):
        rounds, log = self.taken(20, 0.0)
        orders = {tuple(log[at : at + 3]) for at in range(0, len(log), 3)}
        self.assertEqual(rounds, 20)
        self.assertEqual(len(log), 60)
        self.assertEqual({tuple(sorted(order)) for order in orders}, {("a", "b", "c")})
        self.assertGreater(len(orders), 1)

    def test_the_least_rounds_are_taken_whatever_the_time(self):
        self.assertEqual(self.taken(None, 0.0)[0], 3)
        self.assertEqual(self.taken(1, 1e9)[0], 1)


if __name__ == "__main__":
    unittest.main()
