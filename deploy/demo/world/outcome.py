"""What one run came to: the numbers, and whether all of it is as it must be."""

import dataclasses

from .faults import ALSO_RIGHT, POOL, SURVIVOR, VICTIM

# A proof with holes is none: the watcher must have looked at least this often.
LARGEST_GAP_ALLOWED_MS = 500


def ms_between(from_ns, to_ns):
    return None if from_ns is None or to_ns is None else round((to_ns - from_ns) / 1e6, 3)


def rounded(ms):
    return None if ms is None else round(ms, 3)


@dataclasses.dataclass
class Seen:
    """Everything that was gathered."""
    fault_name: str
    fault: object
    fault_ns: int
    records: dict            # node: its records
    handshake_us: object     # as the survivor's CCM measured it
    client_results: dict     # pool: the client's result
    watcher: dict
    changes: list            # of the watcher
    home_again_ns: object    # when the pool's address was back at its home; nothing where it never left


class Outcome:
    def __init__(self, seen):
        self.seen = seen
        records = [record for record in seen.records[SURVIVOR] if record["when_ns"] >= seen.fault_ns]
        self.records = sorted(records, key=lambda record: record["when_ns"])
        self.permit = self._first("permit", POOL)
        self.serving = self._first("pool-serving", POOL)
        self.verdict = self._verdict()

    def _first(self, kind, pool=None, **fields):
        return next((record for record in self.records if record["kind"] == kind and pool in (None, record["pool"]) and
                     all(record["fields"].get(name) == value for name, value in fields.items())), None)

    def _verdict(self):
        fault = self.seen.fault
        right = (fault.verdict, *ALSO_RIGHT.get(self.seen.fault_name, ()))
        for verdict in right:
            if found := self._first("verdict", verdict=verdict):
                return found
        return self._first("verdict")

    def verdict_word(self):
        if self.verdict is not None:
            return self.verdict["fields"]["verdict"]
        # Nothing changed: what was said before the fault still stands.
        before = [record for record in self.seen.records[SURVIVOR] if record["kind"] == "verdict"]
        return before[-1]["fields"]["verdict"] if before else None

    def outages(self):
        """Of the victim's pool: the takeover's and the giveback's, in milliseconds."""
        result = self.seen.client_results[POOL]
        takeover = giveback = None
        back_ns = self.seen.home_again_ns
        for outage in result["outages"]:
            if outage["to_ns"] < self.seen.fault_ns:
                continue
            # The giveback's outage ends after the address came home; the takeover's ended before.
            if back_ns is not None and outage["to_ns"] > back_ns - 1_000_000:
                giveback = max(giveback or 0, outage["ms"])
            else:
                takeover = max(takeover or 0, outage["ms"])
        return rounded(takeover), rounded(giveback)

    def fence(self):
        started, confirmed = self._first("fence-started"), self._first("fence-confirmed")
        return ms_between(started and started["when_ns"], confirmed and confirmed["when_ns"])

    def resources_ms(self):
        """How long the agents of at least one resource were starting: side by side counts once."""
        if self.permit is None or self.serving is None:
            return None
        spans = sorted((record["when_ns"] - float(record["fields"]["took_ms"]) * 1e6, record["when_ns"])
                       for record in self.records if record["kind"] == "resource-started" and record["pool"] == POOL
                       and self.permit["when_ns"] <= record["when_ns"] <= self.serving["when_ns"])
        total, until = 0, 0
        for begin, end in spans:
            total += max(0, end - max(begin, until))
            until = max(until, end)
        return round(total / 1e6, 3)

    def own_share_ms(self):
        """hapair's own share of a takeover: from the verdict to the served pool, without the fence's own time and the
        resources' own start time. Nothing where no fence was part of it: then the old owner's stop is."""
        parts = (ms_between(self.verdict and self.verdict["when_ns"], self.serving and self.serving["when_ns"]),
                 self.fence(), self.resources_ms())
        return None if None in parts else round(parts[0] - parts[1] - parts[2], 3)

    def moved(self):
        """What a node let go of after the fault, in the watcher's eyes."""
        return [change for change in self.seen.changes if change["when_ns"] >= self.seen.fault_ns and not change["held"]]

    def numbers(self):
        seen = self.seen
        due = seen.fault.takeover_due
        takeover_outage, giveback_outage = self.outages()
        results = seen.client_results.values()
        when = self.verdict["when_ns"] if self.verdict is not None else None
        return {
            "fault": seen.fault_name,
            "verdict": self.verdict_word(),
            "permit": self.permit["fields"]["permit"] if self.permit else None,
            "handshake_ms": None if seen.handshake_us is None else round(seen.handshake_us / 1000, 3),
            "fault_to_verdict_ms": ms_between(seen.fault_ns, when),
            "fence_ms": self.fence() if due else None,
            "takeover_ms": ms_between(seen.fault_ns, self.serving and self.serving["when_ns"]) if due else None,
            "resources_ms": self.resources_ms() if due else None,
            "own_share_ms": self.own_share_ms(),
            "client_outage_ms": takeover_outage,
            "giveback_outage_ms": giveback_outage,
            "writes_acknowledged": sum(result["writes_acknowledged"] for result in results),
            "writes_lost": sum(result.get("writes_lost", 0) for result in results),
            "two_owners_ms": rounded(sum(pool["two_owners_ms"] for pool in seen.watcher["pools"].values())),
            "watcher_samples": seen.watcher["samples"],
            "watcher_largest_gap_ms": rounded(seen.watcher["largest_gap_ms"]),
            "other_pool_outage_ms": rounded(max((outage["ms"] for pool, result in seen.client_results.items() if pool != POOL
                                                 for outage in result["outages"] if outage["to_ns"] >= seen.fault_ns),
                                                default=None)),
        }

    def judge(self):
        """(sentence, true or false), one for each thing that must hold."""
        seen, numbers, fault = self.seen, self.numbers(), self.seen.fault
        right = (fault.verdict, *ALSO_RIGHT.get(seen.fault_name, ()))
        points = [
            (f"{SURVIVOR} says that {VICTIM} is {fault.verdict}", numbers["verdict"] in right),
            ("every acknowledged write is there, read back by both clients",
             numbers["writes_lost"] == 0 and all(result["verified"] for result in seen.client_results.values())),
            ("the two CCMs were connected, and it is known how long that took", numbers["handshake_ms"] is not None),
            ("both clients wrote", all(result["writes_acknowledged"] > 0 for result in seen.client_results.values())),
            ("at no sample two nodes had anything of the same pool", numbers["two_owners_ms"] == 0),
            (f"the watcher never looked away for more than {LARGEST_GAP_ALLOWED_MS} ms",
             0 < numbers["watcher_largest_gap_ms"] <= LARGEST_GAP_ALLOWED_MS),
        ]
        if fault.takeover_due:
            points += [
                (f"{SURVIVOR} took {POOL} over, by a permit of kind {fault.permit}", numbers["permit"] == fault.permit),
                (f"{SURVIVOR} served {POOL}", numbers["takeover_ms"] is not None),
                (f"the client of {POOL} wrote again", numbers["client_outage_ms"] is not None),
                (f"{POOL} was given back to {VICTIM}", seen.home_again_ns is not None),
            ]
            if fault.permit == "fenced":
                points.append(("the fence was confirmed before the permit", numbers["fence_ms"] is not None))
        else:
            points += [
                ("no takeover began and nobody was fenced", self.permit is None and self._first("fence-started") is None
                 and self._first("claim-durable") is None),
                ("no pool was stopped, nowhere", not self.moved()),
            ]
        return points
