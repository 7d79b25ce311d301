"""Puts what all sides saw on one line of time. Everybody's clock is CLOCK_BOOTTIME of the same kernel."""

import dataclasses

RECORD_KINDS = ("evidence", "verdict", "implication", "claim-durable", "epoch-durable", "fence-started", "fence-device",
                "fence-confirmed", "fence-failed", "permit", "resource-started", "resource-stopped", "resource-failed",
                "pool-serving", "pool-state", "shutdown", "needs-operator", "agent-started", "command-refused")


@dataclasses.dataclass(frozen=True)
class Entry:
    when_ns: int
    source: str
    text: str


def from_records(node, records):
    return [Entry(record["when_ns"], node, f"{record['kind']}: {record['text']}") for record in records
            if record["kind"] in RECORD_KINDS]


def from_power(log):
    entries = []
    for request in log:
        entries.append(Entry(request["from_ns"], "power", f"asked: {request['action']} {request['node']}"))
        entries.append(Entry(request["to_ns"], "power", f"answers: {request['answer']}"))
    return entries


def from_steps(node, steps):
    return [Entry(step.when_ns, "power", f"{node}: {step.text}") for step in steps]


def from_client(client):
    entries = []
    for event in client.events:
        source = f"client {client.pool.name}"
        if event["event"] == "outage":
            entries.append(Entry(event["from_ns"], source, "last acknowledgement before the outage"))
            entries.append(Entry(event["to_ns"], source, f"first acknowledgement again: outage of {event['ms']:.0f} ms"))
        elif event["event"] == "session-lost":
            entries.append(Entry(event["when_ns"], source, f"session lost: {event['reason'].strip()}"))
        elif event["event"] == "session":
            entries.append(Entry(event["when_ns"], source, "logged in"))
    return entries


def from_watcher(changes):
    return [Entry(change["when_ns"], "watcher",
                  f"{change['node']} {'has' if change['held'] else 'no longer has'} the {change['what']} of {change['pool']}")
            for change in changes]


def render(entries, zero_ns, until_ns):
    """The lines, in milliseconds from the fault; what was long before or long after it is left out."""
    lines = []
    for entry in sorted(entries, key=lambda e: e.when_ns):
        if zero_ns - 500_000_000 <= entry.when_ns <= until_ns:
            lines.append(f"{(entry.when_ns - zero_ns) / 1e6:+11.1f} ms  {entry.source:<13} {entry.text}")
    return lines
