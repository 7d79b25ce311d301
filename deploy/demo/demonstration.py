"""deploy/demo/run: brings the demonstration up, makes one fault, and shows what came of it."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

from world import sweep
from world.command import ENVIRONMENT
from world.faults import FAULTS, POOL, SURVIVOR, VICTIM, inject
from world.keeper import BOOT_AFTER_POWER_OFF_S, Keeper
from world.layout import NODES, POOLS, Layout, WorldError, now_ns
from world.outcome import Outcome, Seen
from world.timeline import Entry, from_client, from_power, from_records, from_steps, from_watcher, render
from world.world import CLUSTER_PROGRAMS, WORLD_PROGRAMS, Lock, World, check_machine

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PRESET = "release"
START_PATIENCE_S = 60
TAKEOVER_PATIENCE_S = 60
GIVEBACK_PATIENCE_S = 90
STEADY_S = 2.0  # of undisturbed load before the fault and after the last change


def say(text):
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Ctrl-C also ended the `tee` at the other end. What was begun is verified and cleared away all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="deploy/demo/run", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Two storage servers, alpha and beta, each serving one pool over iSCSI to a client that never stops "
                    "writing.\nWithout --once the demonstration stays up and says what to try.",
        epilog="faults:\n" + "\n".join(f"  {name:<11} {fault.what}" for name, fault in FAULTS.items()) +
               "\n\nExit status: 0 all went as it must, 1 it did not or could not run, 2 wrong usage.")
    parser.add_argument("--once", action="store_true", help="make one fault, measure, verify, end")
    parser.add_argument("--fault", choices=list(FAULTS), default=None, metavar="F",
                        help=f"one of {', '.join(FAULTS)} (default crash); with it --once is meant")
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    parser.add_argument("--build-dir", metavar="D", help=f"a build folder to use (default: build/{PRESET}, preset {PRESET})")
    parser.add_argument("--keep", action="store_true", help="keep logs and records in /var/tmp/hapair-demo.kept")
    parser.add_argument("--clean", action="store_true", help="only clear away what a killed run left behind")
    options = parser.parse_args(argv)
    if options.fault:
        options.once = True
    return options


def prepare_machine():
    done = subprocess.run([f"{ROOT}/deploy/setup", "--for", "demo"], check=False)
    if done.returncode != 0:
        raise WorldError("deploy/setup could not install what the demonstration needs; its lines above say why")


def build(build_folder):
    """Builds what the demonstration runs; returns the folder."""
    targets = ["--target", *WORLD_PROGRAMS, *CLUSTER_PROGRAMS]
    if build_folder is None:
        build_folder = f"{ROOT}/build/{PRESET}"
        say(f"Building (preset {PRESET}) ...")
        steps = [["cmake", "--preset", PRESET], ["cmake", "--build", "--preset", PRESET, *targets]]
    else:
        build_folder = os.path.abspath(build_folder)
        say(f"Building in {build_folder} ...")
        steps = [["cmake", "--build", build_folder, *targets]]
    for step in steps:
        done = subprocess.run(step, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise WorldError(f"{' '.join(step)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return build_folder


class Demonstration:
    def __init__(self, options, world):
        self.options = options
        self.world = world
        self.machines = self.world.machines
        self.keeper = Keeper(self.machines, lambda text: say(f"  {text}"))
        self.world.on_fenced = self.keeper.boot_later
        self.steps = []  # of the crash, before a later power-off replaces them

    def end(self):
        """Clears everything away; where to find what was kept."""
        if self.keeper.thread.is_alive():
            self.keeper.stop()
        return self.world.destroy(self.options.keep)

    # --- up ---

    def bring_up(self):
        found = self.world.claim()
        if found:
            say(f"Cleared away what an earlier run left: {', '.join(found)}.")
        say("Making the disks, the network and the nodes ...")
        self.world.build()
        self.world.watcher.start()
        for machine in self.machines.values():
            machine.power_on()
        self.keeper.start()
        for client in self.world.clients.values():
            client.start()
        began = time.monotonic()
        self.wait("both pools are served and both clients write", START_PATIENCE_S,
                  lambda: all(client.acknowledged() > 0 for client in self.world.clients.values()))
        say(f"Both pools are served at home and both clients write, {time.monotonic() - began:.1f} s after power-on.")

    def wait(self, what, patience_s, condition):
        until = time.monotonic() + patience_s
        while True:
            for client in self.world.clients.values():
                client.look()
            if self.keeper.problem:
                raise WorldError(self.keeper.problem)
            if condition():
                return
            if time.monotonic() > until:
                raise WorldError(f"waited {patience_s} s in vain until {what}; the nodes' consoles are "
                                 f"{', '.join(self.world.layout.node(node, 'console.log') for node in NODES)} "
                                 "(--keep keeps them)")
            time.sleep(0.02)

    def pause(self, seconds):
        until = time.monotonic() + seconds
        self.wait("time passes", seconds + 5, lambda: time.monotonic() >= until)

    # --- looking ---

    def holder(self, what="address", pool=POOL):
        """The node that has it now, in the watcher's eyes, and since when."""
        held = {}
        for change in self.world.watcher.changes():
            if change["pool"] == pool and change["what"] == what:
                held[change["node"]] = change["when_ns"] if change["held"] else None
        return next(((node, since) for node, since in held.items() if since is not None), (None, None))

    def writes_since(self, when_ns, pool=POOL):
        return self.world.clients[pool].last_acknowledged_ns() > when_ns

    def ask(self, node, *arguments):
        """What `hapair` says on a node, as JSON; nothing where it does not answer."""
        try:
            done = self.machines[node].execute("hapair", *arguments, "--json", timeout=20)
            return json.loads(done.stdout) if done.returncode == 0 else None
        except (WorldError, json.JSONDecodeError):
            return None

    def handshake_us(self):
        """How long the two CCMs took to connect, as the survivor's measured it: over the rail that was first."""
        rails = ((self.ask(SURVIVOR, "status") or {}).get("ccm") or {}).get("rails", [])
        return min((rail["connected_in_us"] for rail in rails if rail["connected_in_us"]), default=None)

    def records(self, node):
        try:
            done = self.machines[node].execute("hapair", "events", "--json", "--last", "4096", timeout=20)
        except WorldError:
            return []
        if done.returncode != 0:
            return []
        text = done.stdout.strip()
        return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]

    # --- one fault ---

    def run_once(self):
        name = self.options.fault or "crash"
        fault = FAULTS[name]
        self.pause(STEADY_S)
        handshake_us = self.handshake_us()
        say(f"Fault {name}: {fault.what}.")
        fault_ns = inject(name, self.machines)
        if name == "crash":
            self.steps = list(self.machines[VICTIM].last_steps)
        home_again_ns = self.follow_takeover(fault_ns) if fault.takeover_due else self.follow_nothing(fault)
        self.pause(STEADY_S)
        seen = self.gather(name, fault, fault_ns, handshake_us, home_again_ns)
        return self.report(seen)

    def follow_takeover(self, fault_ns):
        """Through takeover and giveback; returns when the pool's address was home again."""
        self.wait(f"{SURVIVOR} serves {POOL}", TAKEOVER_PATIENCE_S,
                  lambda: self.holder()[0] == SURVIVOR and self.writes_since(self.holder()[1]))
        outage = self.world.clients[POOL].outages_since(fault_ns)
        say(f"{SURVIVOR} serves {POOL}; its client was without it for "
            f"{max((entry['ms'] for entry in outage), default=0):.0f} ms.")
        self.wait(f"{POOL} is back at {VICTIM}", GIVEBACK_PATIENCE_S,
                  lambda: self.holder()[0] == VICTIM and self.writes_since(self.holder()[1]))
        say(f"{POOL} is back at {VICTIM}.")
        return self.holder()[1]

    def follow_nothing(self, fault):
        say(f"No takeover is due: watching for {fault.watch_s:.0f} s that none happens.")
        self.pause(fault.watch_s)

    def gather(self, name, fault, fault_ns, handshake_us, home_again_ns):
        records = {node: self.records(node) for node in NODES}
        say("Reading everything back ...")
        clients = self.world.clients
        for client in clients.values():
            client.ask_to_finish()
        results = {pool: client.result() for pool, client in clients.items()}
        changes = self.world.watcher.changes()
        watcher = self.world.watcher.finish()
        return Seen(name, fault, fault_ns, records, handshake_us, results, watcher, changes, home_again_ns)

    def report(self, seen):
        outcome = Outcome(seen)
        entries = [Entry(seen.fault_ns, "fault", seen.fault.what)]
        for node in NODES:
            entries += from_records(node, seen.records[node])
        entries += from_power(self.world.power.log) + from_steps(VICTIM, self.steps) + from_watcher(seen.changes)
        entries += [Entry(when_ns, "machine", f"{node} {text}") for when_ns, node, text in self.keeper.log]
        for client in self.world.clients.values():
            entries += from_client(client)
        say("")
        for line in render(entries, seen.fault_ns, now_ns()):
            say(line)
        numbers = outcome.numbers()
        say("")
        for key, value in numbers.items():
            say(f"  {key:<24} {'none' if value is None else value}")
        say("")
        points = outcome.judge()
        for sentence, holds in points:
            say(f"  {'ok  ' if holds else 'NOT '} {sentence}")
        good = all(holds for _, holds in points)
        if self.options.json:
            with open(self.options.json, "w", encoding="utf-8") as file:
                json.dump({**numbers, "ok": good, "failed": [text for text, holds in points if not holds]}, file, indent=2)
                file.write("\n")
        say(f"\nThe demonstration {'went as it must' if good else 'did NOT go as it must'} (fault {seen.fault_name}).")
        return 0 if good else 1

    # --- staying up ---

    def stay(self):
        self.explain()
        told = {pool: 0 for pool in self.world.clients}
        power_told = 0
        while True:
            time.sleep(0.2)
            for pool, client in self.world.clients.items():
                client.look()
                outages = [event for event in client.events if event["event"] == "outage"]
                for event in outages[told[pool]:]:
                    say(f"  client of {pool}: was without it for {event['ms']:.0f} ms; "
                        f"{client.acknowledged()} writes acknowledged so far")
                told[pool] = len(outages)
            for request in self.world.power.log[power_told:]:
                say(f"  power controller: {request['action']} {request['node']}: {request['answer']}, after "
                    f"{(request['to_ns'] - request['from_ns']) / 1e6:.0f} ms")
                power_told += 1

    def explain(self):
        node = "deploy/demo/node"
        lines = [
            "", "Both clients go on writing. In another terminal, as root:",
            f"  {node} beta hapair status            how the pair stands (also: why, events --follow; alpha too)",
            f"  {node} beta hapair takeover pool-a   a planned takeover; hapair giveback pool-a ends it",
            f"  {node} alpha reboot                  an orderly reboot",
            f"  {node} alpha pkill -9 hapaird        an agent dies (or -STOP: it hangs); likewise ccmd",
            f"  echo action=off plug=alpha | tr ' ' '\\n' | {node} beta fence_demo     alpha loses its power",
            f"  {node} alpha                         a shell in a node",
            f"A node that lost its power is switched on again after {BOOT_AFTER_POWER_OFF_S:.0f} s.",
            f"Consoles: {self.world.layout.base}/NODE/console.log",
            "Ctrl-C verifies every acknowledged write and ends the demonstration.", ""]
        for line in lines:
            say(line)

    def verify_and_end(self):
        say("Reading everything back ...")
        clients = self.world.clients
        for client in clients.values():
            client.ask_to_finish()
        lost = False
        for pool, client in clients.items():
            result = client.result()
            lost = lost or not result["verified"] or result["writes_lost"] != 0
            say(f"  {pool}: {result['writes_acknowledged']} writes acknowledged, "
                f"{result.get('writes_lost', 'not known how many')} lost")
        watcher = self.world.watcher.finish()
        two = sum(pool["two_owners_ms"] for pool in watcher["pools"].values())
        say(f"  two owners at once: {two:.1f} ms in {watcher['samples']} samples")
        return 1 if lost or two else 0


class Ended(Exception):
    pass


def end_on_signals():
    def handler(number, _frame):
        raise Ended(signal.Signals(number).name)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def run(options):
    check_machine()
    prepare_machine()
    demonstration = Demonstration(options, World(build(options.build_dir)))
    end_on_signals()
    status = 1
    try:
        demonstration.bring_up()
        if options.once:
            status = demonstration.run_once()
        else:
            demonstration.stay()
    except Ended as ended:
        say("")
        if not options.once and str(ended) == "SIGINT":
            status = demonstration.verify_and_end()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # clearing away is not interrupted; it takes about a second
        kept = demonstration.end()
        if kept:
            say(f"Kept for a look: {kept}")
    return status


def clean():
    check_machine()
    layout = Layout()
    Lock(layout).take()
    found = sweep.sweep(layout)
    say(f"Cleared away: {', '.join(found)}." if found else "Nothing was left to clear away.")
    return 0


def main(argv):
    options = parse(argv)
    try:
        return clean() if options.clean else run(options)
    except WorldError as error:
        print(f"deploy/demo/run: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    os.environ.update(ENVIRONMENT)
    sys.exit(main(sys.argv[1:]))
