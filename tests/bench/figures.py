# SPDX-License-Identifier: MIT
"""Figures of benchmarks: contenders take turns, each table row has medians, their ratio and how far single runs lie apart."""
import dataclasses
import json
import os
import statistics
import sys

ROUNDS = int(os.environ.get("ROUNDS", "5"))
TIE = 0.05  # less is no difference


@dataclasses.dataclass
class Series:
    """The runs of one contender in one comparison."""
    values: list

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def spread(self):
        """Half the distance between the lowest and the highest, as a share of the median."""
        return (max(self.values) - min(self.values)) / 2 / self.median if self.median else 0.0


class Report:
    """All that was measured, as text while it goes on and as JSON at the end."""

    def __init__(self, path):
        self.path = path
        self.rows = []
        if os.path.exists(path):
            os.unlink(path)

    def heading(self, text):
        print(f"\n{text}\n", flush=True)

    def compare(self, measure, base, others, bar=None, unit="ns", more_is_better=False):
        """A row for each of OTHERS, a dictionary of name and values of the runs, against BASE, a pair of them.  The ratio is base /
        other for costs and other / base for rates, so that more is better for the other in both.  BAR is for the first."""
        first = Series(base[1])
        for index, (name, values) in enumerate(others.items()):
            own = Series(values)
            high, low = (own.median, first.median) if more_is_better else (first.median, own.median)
            row = {"measure": measure, "base": base[0], "base_median": first.median, "base_spread": first.spread,
                   "other": name, "other_median": own.median, "other_spread": own.spread, "unit": unit,
                   "ratio": high / low if low else float("nan"), "bar": bar if index == 0 else None,
                   "base_values": first.values, "other_values": own.values}
            self.rows.append(row)
            print(self.line(row), flush=True)
        self.save()

    @staticmethod
    def line(row):
        verdict = ""
        if row["bar"] is not None:
            verdict = f"  bar {row['bar']:.2f} {'reached' if row['ratio'] >= row['bar'] else 'NOT REACHED'}"
        elif abs(row["ratio"] - 1) < TIE:
            verdict = "  (a tie)"
        return (f"{row['measure']:42.42} {row['base']:>11.11} {row['base_median']:9.1f} ±{row['base_spread'] * 100:2.0f}% "
                f"{row['other']:>14.14} {row['other_median']:9.1f} ±{row['other_spread'] * 100:2.0f}% {row['unit']:5} "
                f"{row['ratio']:6.2f}{verdict}")

    def verdict(self, measure, ratio, bar):
        """A ratio made from several rows."""
        self.rows.append({"measure": measure, "ratio": ratio, "bar": bar})
        print(f"{measure:42.42} {ratio:.2f}  bar {bar:.2f} {'reached' if ratio >= bar else 'NOT REACHED'}", flush=True)
        self.save()

    def note(self, measure, **figures):
        """Figures that aren't compared with others."""
        self.rows.append({"measure": measure, **figures})
        text = ", ".join(f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}" for key, value in figures.items())
        print(f"{measure:42.42} {text}", flush=True)
        self.save()

    def save(self):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path, "w", encoding="ascii") as file:
            json.dump(self.rows, file, indent=1)

    def failed(self, measure, error):
        """A measure that couldn't be taken doesn't stop the others."""
        self.rows.append({"measure": measure, "error": str(error)})
        print(f"{measure}: {error}", file=sys.stderr, flush=True)
        self.save()
