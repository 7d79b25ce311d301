"""What was measured, as a table, as CSV and as a picture."""

import csv
import html
import math
import statistics

COLOURS = ("#0b6e4f", "#38a3a5", "#c1121f", "#f08080", "#5a3e9b", "#a68cd9", "#7f6000")


class Result:
    """Of one system under one load."""

    def __init__(self):
        self.took_ms = {}  # of each fault
        self.missed = {}
        self.wrong = 0
        self.wrong_s = 0.0
        self.quiet_s = 0.0
        self.cpu = []  # % of a core, each node, beside the others
        self.alone = []  # likewise with none of the others

    def found(self, fault, ms):
        self.took_ms.setdefault(fault, []).append(ms)

    def miss(self, fault):
        self.missed[fault] = self.missed.get(fault, 0) + 1


def cell(result, fault):
    took, missed = result.took_ms.get(fault, []), result.missed.get(fault, 0)
    if not took:
        return f"not seen ({missed})" if missed else "-"
    text = f"{min(took):.0f} / {statistics.median(took):.0f} / {max(took):.0f} ({len(took)})"
    return f"{text}, missed {missed}" if missed else text


def table(results, faults):
    """`results`: of (load, system)."""
    head = ["LOAD", "SYSTEM", *(fault.upper() for fault in faults), "WRONG", "FOR", "IN", "CPU", "ALONE"]
    rows = [head]
    for (load, system), result in results.items():
        judged = result.quiet_s > 0
        rows.append([load, system, *(cell(result, fault) for fault in faults), str(result.wrong) if judged else "-",
                     f"{result.wrong_s:.2f} s" if judged else "-", f"{result.quiet_s:.0f} s" if judged else "-",
                     f"{statistics.mean(result.cpu):.2f} %" if result.cpu else "-",
                     f"{min(result.alone):.2f} / {statistics.median(result.alone):.2f} / {max(result.alone):.2f} %" if result.alone else "-"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)


def write_csv(path, results):
    """One line a trial, then one a load and system for what went wrong and what it cost."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["load", "system", "measure", "value", "unit"])
        for (load, system), result in results.items():
            for fault, took in result.took_ms.items():
                out.writerows([load, system, f"detection of {fault}", f"{ms:.3f}", "ms"] for ms in took)
            out.writerows([load, system, f"{fault} not seen", missed, ""] for fault, missed in result.missed.items())
            if result.quiet_s > 0:
                out.writerow([load, system, "wrong verdicts", result.wrong, ""])
                out.writerow([load, system, "duration of wrong verdicts", f"{result.wrong_s:.3f}", "s"])
                out.writerow([load, system, "without a fault", f"{result.quiet_s:.1f}", "s"])
            out.writerows([load, system, "processor, one node", f"{share:.3f}", "% of a core"] for share in result.cpu)
            out.writerows([load, system, "processor, one node, alone", f"{share:.3f}", "% of a core"] for share in result.alone)


def write_svg(path, results, faults):
    """Detection times of each trial, on a logarithmic scale: a band for each load and fault, a colour for each system."""
    systems = list(dict.fromkeys(system for (_, system), result in results.items() if result.took_ms or result.missed))
    colour = dict(zip(systems, COLOURS * (1 + len(systems) // len(COLOURS))))
    bands = [(load, fault) for load in dict.fromkeys(load for load, _ in results) for fault in faults
             if any(fault in result.took_ms for (one, _), result in results.items() if one == load)]
    step, left, right, top = 9 * len(systems) + 14, 190, 760, 60
    height = top + step * len(bands) + 40

    def x_of(ms):
        # From 1 ms to 10 s.
        return left + (right - left) * min(math.log10(max(ms, 1.0)), 4.2) / 4.2

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{right + 40}" height="{height}" font-family="sans-serif" font-size="11">',
             f'<rect width="{right + 40}" height="{height}" fill="white"/>',
             '<text x="12" y="20" font-size="14">From fault to verdict: each trial, and the median</text>']
    for i, system in enumerate(systems):
        parts.append(f'<circle cx="{16 + 150 * (i % 5)}" cy="{34 + 14 * (i // 5)}" r="4" fill="{colour[system]}"/>'
                     f'<text x="{24 + 150 * (i % 5)}" y="{38 + 14 * (i // 5)}">{html.escape(system)}</text>')
    for ms in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000):
        parts.append(f'<line x1="{x_of(ms):.1f}" x2="{x_of(ms):.1f}" y1="{top}" y2="{height - 28}" stroke="#ddd"/>'
                     f'<text x="{x_of(ms):.1f}" y="{height - 14}" text-anchor="middle">{f"{ms} ms" if ms < 1000 else f"{ms // 1000} s"}</text>')
    for row, (load, fault) in enumerate(bands):
        y = top + step * row
        parts.append(f'<line x1="12" x2="{right}" y1="{y}" y2="{y}" stroke="#bbb"/>'
                     f'<text x="12" y="{y + step / 2 + 4:.0f}">{html.escape(load)}: {html.escape(fault)}</text>')
        for i, system in enumerate(systems):
            took = results[load, system].took_ms.get(fault, []) if (load, system) in results else []
            at = y + 11 + 9 * i
            parts += [f'<circle cx="{x_of(ms):.1f}" cy="{at}" r="3" fill="{colour[system]}" fill-opacity="0.45"/>' for ms in took]
            if took:
                middle = x_of(statistics.median(took))
                parts.append(f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{at - 4}" y2="{at + 4}" stroke="{colour[system]}" stroke-width="2"/>')
    parts.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(parts))

