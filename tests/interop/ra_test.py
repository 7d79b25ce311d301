"""ocf:hapair:storage-pair and fence_hapair by their actions, on two real nodes in network namespaces (tests/host/iwarp_pair.py) whose arbiter is pacemaker,
without a cluster around them: exit codes to the letter, what it says, and Debian's own checks of an agent."""

import contextlib
import glob
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "host"))

# pylint: disable=wrong-import-position
from iwarp_pair import AGENTS_RUN, NODES, Pair, run_tests  # noqa: E402

AGENT = os.path.join(ROOT, "resource-agents", "storage-pair")
FENCE_AGENT = os.path.join(ROOT, "resource-agents", "fence_hapair")
ALERT_AGENT = os.path.join(ROOT, "resource-agents", "alert_hapair")
SCHEMAS = {  # of callers of which minor version
    0: ("/usr/share/pcs/data/ocf-1.0.rng", "/usr/share/resource-agents/metadata.rng"),
    1: ("/usr/share/pcs/data/ocf-1.1.rng",),
}
SUCCESS, GENERIC, UNIMPLEMENTED, INSTALLED, CONFIGURED, NOT_RUNNING, PROMOTED, FAILED_PROMOTED = 0, 1, 3, 5, 6, 7, 8, 9
DEGRADED, DEGRADED_PROMOTED = 190, 191
BUILD = None


def use_build(build):
    global BUILD  # pylint: disable=global-statement
    BUILD = os.path.abspath(build)


def call(action, environment, *, path=None):
    """(exit status, its exit reason, standard output)"""
    variables = {"PATH": path or "/usr/sbin:/usr/bin:/sbin:/bin", "OCF_ROOT": "/usr/lib/ocf", "LC_ALL": "C", **environment}
    done = subprocess.run([AGENT, action], env=variables, capture_output=True, text=True, check=False, timeout=90)
    reasons = [line.removeprefix("ocf-exit-reason:") for line in done.stderr.splitlines() if line.startswith("ocf-exit-reason:")]
    return done.returncode, " / ".join(reasons), done.stdout


def call_fence(given):
    """(exit status, what it says)"""
    done = subprocess.run([FENCE_AGENT], input=given, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}, capture_output=True, text=True,
                          check=False, timeout=90)
    return done.returncode, done.stdout + done.stderr


class Metadata(unittest.TestCase):
    def test_it_is_valid_under_the_schemas_of_the_version_that_the_caller_speaks(self):
        for minor, schemas in SCHEMAS.items():
            status, _, text = call("meta-data", {"OCF_RA_VERSION_MAJOR": "1", "OCF_RA_VERSION_MINOR": str(minor)})
            self.assertEqual(status, SUCCESS)
            for schema in schemas:
                done = subprocess.run(["xmllint", "--noout", "--nonet", "--relaxng", schema, "-"], input=text, capture_output=True, text=True,
                                      check=False)
                self.assertEqual(done.returncode, 0, f"{schema}: {done.stderr}")
            self.assertEqual("reloadable" in text, minor == 1)
            self.assertEqual("unique-group" in text, minor == 1)

    def test_every_action_that_it_names_is_one_that_it_has(self):
        _, _, text = call("meta-data", {"OCF_RA_VERSION_MINOR": "1"})
        for action in ("start", "stop", "monitor", "promote", "demote", "notify", "reload", "reload-agent", "validate-all", "meta-data"):
            self.assertIn(f'<action name="{action}"', text)
            status, _, _ = call(action, {"OCF_RESOURCE_INSTANCE": "none", "OCF_RESKEY_pool": "tank", "OCF_RESKEY_hapair": "/nowhere/hapair"})
            self.assertNotEqual(status, UNIMPLEMENTED, action)
        status, reason, _ = call("migrate_to", {"OCF_RESOURCE_INSTANCE": "none", "OCF_RESKEY_pool": "tank"})
        self.assertEqual(status, UNIMPLEMENTED)
        self.assertIn("migrate_to", reason)


class Parameters(unittest.TestCase):
    """Level 0 of validate-all looks at nothing but the parameters: there is no hapair here at all."""

    def refused(self, sentence, status=CONFIGURED, **parameters):
        environment = {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}
        got, reason, _ = call("validate-all", environment, path="/nowhere:/bin:/usr/bin")
        self.assertEqual(got, status, reason)
        self.assertIn(sentence, reason)

    def test_what_is_wrong_is_said_in_a_sentence(self):
        self.refused("pool is missing")
        self.refused("is no pool's name", pool="tank; reboot")
        self.refused("three numbers", pool="tank", promotion_scores="100 10")
        self.refused('"high" is no number', pool="tank", promotion_scores="high 100 10")
        self.refused("true or false", pool="tank", fencing_required="perhaps")
        self.refused("one owner", pool="tank", CRM_meta_promoted_max="2")
        self.refused("a node has a pool or not", pool="tank", CRM_meta_globally_unique="true")
        self.refused("a node has a pool or not", pool="tank", CRM_meta_clone_node_max="2")

    def test_what_is_right_is_accepted_without_a_look_at_the_node(self):
        status, reason, _ = call("validate-all", {"OCF_RESKEY_pool": "tank"}, path="/nowhere:/bin:/usr/bin")
        self.assertEqual((status, reason), (SUCCESS, ""))

    def test_level_10_looks_at_the_node(self):
        status, reason, _ = call("validate-all", {"OCF_RESKEY_pool": "tank", "OCF_CHECK_LEVEL": "10", "OCF_RESKEY_hapair": "/nowhere/hapair"})
        self.assertEqual(status, INSTALLED)
        self.assertIn("/nowhere/hapair", reason)


class World(unittest.TestCase):
    ARBITER = "pacemaker"
    POOLS = [{"name": "pool-a", "home": "alpha", "resources": [{"name": "dummy", "type": "ocf:heartbeat:Dummy"}]}]

    def setUp(self):
        self.pair = Pair(BUILD, patience_ms=500, more={"arbiter": self.ARBITER, "pools": self.POOLS, **self.more()})
        self.addCleanup(self.pair.end)
        self.pair.start_all()
        self.pair.wait_connected("one", "two")
        for node in NODES:
            self.pair.wait_verdict(node, "alive")
            os.makedirs(self.pair.path(f"marks-{node}"))

    def more(self):
        """Further keys of both nodes' configurations."""
        return {}

    def environment(self, node, timeout_ms=30000, **parameters):
        given = {"pool": "pool-a", "config": self.pair.path(f"{node}.json"), "hapair": f"{BUILD}/agent/cli/hapair",
                 "CRM_meta_timeout": str(timeout_ms), "CRM_meta_interval": "10000", "fencing_required": "false", **parameters}
        return {"OCF_RESOURCE_INSTANCE": f"pool-a-{node}", "HA_RSCTMP": self.pair.path(f"marks-{node}"),
                **{f"OCF_RESKEY_{name}": value for name, value in given.items()}}

    def act(self, node, action, **parameters):
        status, reason, _ = call(action, self.environment(node, **parameters))
        self.reason = reason
        return status

    def expect(self, node, action, status, sentence="", **parameters):
        got = self.act(node, action, **parameters)
        self.assertEqual(got, status, f"{action} on {node}: {self.reason}")
        self.assertIn(sentence, self.reason)

    def fence(self, node, action, status, sentence="", plug="beta"):
        """fence_hapair there, as the cluster calls it."""
        plug = plug if node == "alpha" else "alpha"
        given = f"action={action}\nplug={plug}\nconfig={self.pair.path(f'{node}.json')}\nhapair={BUILD}/agent/cli/hapair\npower_timeout=20\n"
        got, said = call_fence(given)
        self.assertEqual(got, status, f"{action} on {node}: {said}")
        self.assertIn(sentence, said)

    def alert(self, there, expected, sentence="", **variables):
        """alert_hapair there, as the cluster calls it: its user, in no group but haclient."""
        os.chmod(self.pair.folder, 0o755)
        done = subprocess.run(["setpriv", "--reuid", "hacluster", "--regid", "haclient", "--clear-groups", ALERT_AGENT],
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HAPAIR_CONFIG": self.pair.path(f"{there}.json"),
                                   "hapair_program": f"{BUILD}/agent/cli/hapair", "CRM_alert_version": "2.1.5",
                                   **{f"CRM_alert_{name}": value for name, value in variables.items()}},
                              capture_output=True, text=True, check=False, timeout=90)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        self.assertIn(sentence, done.stdout + done.stderr)

    def runs(self, node):
        """By what ocf:heartbeat:Dummy leaves in its node: nothing of hapair is asked."""
        return bool(glob.glob(f"/proc/{self.pair.holders[node].pid}/root{AGENTS_RUN}/Dummy-*.state"))

    def in_node(self, node, *command):
        subprocess.run([*self.pair.within(node), *command], check=True)


class Actions(World):
    def test_the_life_of_a_clone(self):
        for node in NODES:
            self.expect(node, "monitor", NOT_RUNNING)
            self.expect(node, "start", SUCCESS)
            self.expect(node, "start", SUCCESS)  # each action may come twice
            self.expect(node, "monitor", SUCCESS)
            self.assertFalse(self.runs(node), "nothing is served before it is promoted")
        self.expect("alpha", "promote", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.expect("alpha", "monitor", PROMOTED)
        self.expect("beta", "monitor", SUCCESS)
        self.assertTrue(self.runs("alpha"))
        self.expect("alpha", "demote", SUCCESS)
        self.expect("alpha", "demote", SUCCESS)
        self.expect("alpha", "monitor", SUCCESS)
        self.assertFalse(self.runs("alpha"))
        self.expect("beta", "promote", SUCCESS)
        self.expect("beta", "monitor", PROMOTED)
        self.expect("beta", "stop", SUCCESS)  # of one that is promoted
        self.assertFalse(self.runs("beta"))
        self.expect("beta", "monitor", NOT_RUNNING)
        self.expect("beta", "stop", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.expect("alpha", "monitor", PROMOTED)

    def test_a_second_promotion_yields_to_the_first(self):
        for node in NODES:
            self.expect(node, "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.expect("beta", "promote", GENERIC, "alpha says that it has it (serving)", timeout_ms=1000)
        self.expect("alpha", "monitor", PROMOTED)
        self.expect("beta", "monitor", SUCCESS)
        self.assertFalse(self.runs("beta"))
        self.expect("alpha", "demote", SUCCESS)
        time.sleep(1)
        self.assertFalse(self.runs("beta"), "an order that was not fulfilled is withdrawn")

    def test_what_was_started_here_is_not_said_to_be_stopped_where_nobody_can_be_asked(self):
        self.expect("alpha", "stop", SUCCESS, hapair="/nowhere/hapair")  # never started
        self.expect("alpha", "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.expect("alpha", "stop", GENERIC, "must be fenced", hapair="/nowhere/hapair")
        self.expect("alpha", "stop", GENERIC, "must be fenced", pool="tank")
        broken = self.pair.path("broken.json")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("{")
        self.expect("alpha", "stop", GENERIC, "must be fenced", config=broken)
        self.assertTrue(self.runs("alpha"))
        # A probe that finds it promoted, as after the marks were lost, says so to a later stop.
        os.unlink(os.path.join(self.pair.path("marks-alpha"), "hapair-storage-pair-pool-a-alpha"))
        self.expect("alpha", "monitor", PROMOTED, CRM_meta_interval="0")
        self.expect("alpha", "stop", GENERIC, "must be fenced", hapair="/nowhere/hapair")

    def test_without_a_cluster_that_fences_nothing_is_started(self):
        self.expect("alpha", "start", CONFIGURED, "does not say whether it fences", fencing_required="true")

    def test_start_waits_for_a_hapaird_that_is_being_restarted(self):
        self.pair.signal("alpha", "hapaird", signal.SIGKILL)
        later = threading.Timer(3, lambda: self.pair.start("alpha", "hapaird"))
        self.addCleanup(later.join)
        later.start()
        self.expect("alpha", "start", SUCCESS)

    def test_an_offline_node_says_that_it_cannot_tell(self):
        for node in NODES:
            self.expect(node, "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.pair.signal("alpha", "hapaird", signal.SIGKILL)
        with open(os.path.join(self.pair.path("state-alpha"), "state"), "r+b") as file:
            file.seek(40)
            file.write(b"garbage")
        self.pair.start("alpha", "hapaird")
        self.pair.wait_until(lambda: "offline" in self.pair.hapair("alpha", "status").stdout, "alpha is offline")
        self.expect("alpha", "monitor", GENERIC, "offline")
        self.expect("alpha", "stop", GENERIC, "must be fenced")
        self.pair.signal("alpha", "hapaird", signal.SIGKILL)
        self.pair.wait_verdict("beta", "agent-hung")
        self.expect("beta", "promote", GENERIC, "it may run there", timeout_ms=2000)
        self.assertFalse(self.runs("beta"))

    def test_a_lost_rail_is_degraded(self):
        for node in NODES:
            self.expect(node, "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.pair.rails["two"].tell("both", "cut")
        self.pair.wait_until(lambda: all(self.pair.connected(node) == {"one"} for node in NODES), "rail two is gone")
        self.expect("alpha", "monitor", DEGRADED_PROMOTED, "rail two")
        self.expect("beta", "monitor", DEGRADED, "rail two")

    def test_an_agent_that_dies_is_a_failure_and_its_pool_cannot_be_stopped(self):
        for node in NODES:
            self.expect(node, "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.pair.signal("alpha", "hapaird", signal.SIGKILL)
        self.expect("alpha", "monitor", GENERIC, "hapaird does not run")
        self.expect("alpha", "stop", GENERIC, "must be fenced")
        # beta's order is no proof against a kernel that is seen to run.
        self.expect("beta", "promote", GENERIC, "it may run there", timeout_ms=1000)
        self.pair.start("alpha", "hapaird")
        self.pair.wait_until(lambda: self.act("alpha", "monitor") == PROMOTED, "the agent goes on with what runs")
        self.expect("alpha", "stop", SUCCESS)

    def test_an_agent_that_never_served_leaves_nothing(self):
        self.expect("beta", "start", SUCCESS)
        self.pair.signal("beta", "hapaird", signal.SIGKILL)
        self.expect("beta", "monitor", NOT_RUNNING)
        self.expect("beta", "stop", SUCCESS)
        self.expect("beta", "start", GENERIC, "have the system start it before the cluster")

    def test_a_partner_that_is_gone_is_taken_by_the_clusters_word(self):
        for node in NODES:
            self.expect(node, "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        for program in ("hapaird", "ccmd"):
            self.pair.signal("alpha", program, signal.SIGKILL)
        for rail in self.pair.rails.values():
            rail.tell("both", "cut")
        self.pair.wait_verdict("beta", "unreachable")
        self.assertFalse(self.runs("beta"))
        self.expect("beta", "promote", SUCCESS)
        self.expect("beta", "monitor", PROMOTED)
        self.assertEqual(len([text for text in self.pair.told("beta", "permit") if "permit by ordered" in text]), 1)

    def test_a_resource_that_does_not_start_ends_the_promotion(self):
        for node in NODES:
            self.expect(node, "start", SUCCESS)
        self.in_node("alpha", "mount", "-o", "remount,ro", AGENTS_RUN)
        self.expect("alpha", "promote", GENERIC, "dummy: start failed")
        self.expect("alpha", "monitor", SUCCESS, "failed here")
        self.expect("beta", "promote", SUCCESS)
        self.in_node("alpha", "mount", "-o", "remount,rw", AGENTS_RUN)
        self.expect("beta", "demote", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)

    def test_a_pool_that_the_pair_does_not_have_is_a_configuration_error(self):
        self.expect("alpha", "monitor", CONFIGURED, "has no pool tank; its pools: pool-a", pool="tank")
        self.expect("alpha", "start", CONFIGURED, "has no pool tank", pool="tank")


class Busy(World):
    """A file system that is in use does not stop."""
    PLACE = f"{AGENTS_RUN}/busy"
    POOLS = [{"name": "pool-a", "home": "alpha", "resources": [
        {"name": "fs", "type": "ocf:heartbeat:Filesystem", "stop_timeout_ms": 4000,
         "parameters": {"device": "busy", "directory": PLACE, "fstype": "tmpfs", "force_unmount": "no"}}]}]

    def test_what_does_not_stop_is_failed_and_its_node_must_be_fenced(self):
        for node in NODES:
            self.in_node(node, "mkdir", self.PLACE)
            self.expect(node, "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        user = subprocess.Popen([*self.pair.within("alpha"), "sh", "-c", f"cd {self.PLACE}; exec setpriv --pdeathsig KILL sleep 60"])
        self.addCleanup(user.wait)
        self.addCleanup(user.kill)
        self.pair.wait_until(lambda: os.readlink(f"/proc/{user.pid}/cwd") == self.PLACE, "the file system is in use")
        self.expect("alpha", "demote", GENERIC, "only a fence of this node can free it")
        self.expect("alpha", "monitor", FAILED_PROMOTED, "fs: stop")
        self.expect("beta", "promote", GENERIC, "alpha says that it has it (failed)", timeout_ms=1000)
        self.expect("alpha", "promote", GENERIC, "did not stop here")
        user.kill()
        user.wait()
        self.expect("alpha", "stop", SUCCESS)
        self.expect("beta", "promote", SUCCESS)


class Alerts(World):
    def tell_of_a_death(self, reference):
        """To beta: that alpha is lost and fenced, and its pool promoted."""
        now_us = time.time_ns() // 1000
        self.alert("beta", 0, kind="node", node="alpha", desc="lost", nodeid="1")
        self.alert("beta", 0, "recorded\n", kind="fencing", node="alpha", task="reboot", rc="0",
                   desc=f"Operation reboot of alpha by beta for pacemaker-controld.7@beta: OK (ref={reference})")
        self.alert("beta", 0, "recorded\n", kind="resource", node="beta", rsc="pool-a", task="promote", rc="0", target_rc="0", status="0",
                   interval="0", exec_time="812", desc="ok", timestamp_epoch=str(now_us // 10**6), timestamp_usec=f"{now_us % 10**6:06}")

    def test_what_pacemaker_tells_is_recorded_and_moves_nothing(self):
        for node in NODES:
            self.expect(node, "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.tell_of_a_death("1")
        self.assertEqual([self.pair.told("beta", f"pacemaker-{kind}") for kind in ("node", "fencing", "resource")], [
            ["Pacemaker on beta: node alpha lost"], ["Pacemaker on beta: fenced alpha by beta (reboot, OK)"],
            ["Pacemaker on beta: promoted pool pool-a here: ok after 812 ms"]])
        self.assertEqual(self.pair.verdict("beta"), "alive")
        self.assertFalse(self.runs("beta"))
        self.expect("alpha", "monitor", PROMOTED)
        self.expect("beta", "monitor", SUCCESS)
        # Nor where the partner is silent: the cluster's own order is the proof, and no word about it.
        for program in ("hapaird", "ccmd"):
            self.pair.signal("alpha", program, signal.SIGKILL)
        for rail in self.pair.rails.values():
            rail.tell("both", "cut")
        self.pair.wait_verdict("beta", "unreachable")
        self.tell_of_a_death("2")
        time.sleep(1)  # longer than anything that was permitted would take to begin
        self.assertFalse(self.runs("beta"))
        self.assertEqual(self.pair.told("beta", "permit"), [])
        self.expect("beta", "monitor", SUCCESS)
        self.expect("beta", "promote", SUCCESS)
        self.assertEqual(len([text for text in self.pair.told("beta", "permit") if "permit by ordered" in text]), 1)
        why = self.pair.hapair("beta", "why").stdout
        self.assertRegex(why, "(?s)Pacemaker on beta +fenced alpha by beta.*command +pool-a: .* wants it served here")

    def test_what_is_no_alert_or_not_of_this_pair_is_said(self):
        self.alert("alpha", 2, "CRM_alert_kind: found nothing; allowed: node, fencing, resource, attribute")
        self.alert("alpha", 2, 'CRM_alert_rc: found "none"; allowed: a number', kind="fencing", node="beta", task="off", rc="none")
        self.alert("alpha", 0, "gamma is no node of this pair", kind="node", node="gamma", desc="lost")
        self.alert("alpha", 0, "recorded", kind="node", node="beta", desc="lost")
        self.alert("alpha", 0, "told before", kind="node", node="beta", desc="lost")
        self.assertEqual(self.pair.told("alpha", "pacemaker-node"), ["Pacemaker on alpha: node beta lost"])

    def test_without_an_agent_it_ends_at_once(self):
        self.pair.signal("alpha", "hapaird", signal.SIGKILL)
        self.pair.wait_until(lambda: self.pair.running["alpha", "hapaird"].poll() is not None, "hapaird of alpha is gone")
        self.alert("alpha", 3, "hapaird does not run on this node", kind="node", node="beta", desc="lost")


class OwnAlerts(World):
    """What hapair itself decides, told to a sample of Pacemaker's own alert agents."""

    def more(self):
        folder = tempfile.mkdtemp(prefix="hapair-alerts-")
        self.addCleanup(shutil.rmtree, folder)
        agent = os.path.join(folder, "alert_file.sh")
        shutil.copy("/usr/share/pacemaker/alerts/alert_file.sh.sample", agent)
        os.chmod(agent, 0o755)
        self.file = os.path.join(folder, "told")
        return {"alerts": [{"path": agent, "recipient": self.file, "options": {"debug_exec_order": "true"}}]}

    def wait_told(self, sentence):
        def told():
            with contextlib.suppress(FileNotFoundError), open(self.file, encoding="utf-8") as file:
                return sentence in file.read()
            return False
        self.pair.wait_until(told, f"the alert agent was told: {sentence}")

    def test_pacemakers_sample_writes_what_happened(self):
        for node in NODES:
            self.expect(node, "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.wait_told("Resource operation 'start' for 'pool-a' on 'alpha': ok")
        self.expect("alpha", "demote", SUCCESS)
        self.wait_told("Resource operation 'stop' for 'pool-a' on 'alpha': ok")
        for program in ("hapaird", "ccmd"):
            self.pair.signal("alpha", program, signal.SIGKILL)
        for rail in self.pair.rails.values():
            rail.tell("both", "cut")
        self.wait_told("Node 'alpha' is now 'lost'")
        with open(self.file, encoding="utf-8") as file:
            self.assertRegex(file.read(), r"(?m)^0001\. +\d\d:\d\d:\d\d\.\d{6} ", "its number and time come first, as it asked for")
        self.assertEqual(self.pair.told("beta", "alert-agent-failed"), [])


class OtherArbiter(World):
    ARBITER = "none"

    def test_an_agent_that_decides_itself_is_not_for_a_cluster(self):
        self.pair.wait_until(lambda: self.runs("alpha"), "alpha serves its own pool by itself")
        self.expect("beta", "monitor", INSTALLED, 'set "arbiter": "pacemaker"')
        self.expect("beta", "start", INSTALLED, 'set "arbiter": "pacemaker"')
        self.expect("beta", "promote", GENERIC, "no cluster decides here")
        self.expect("alpha", "monitor", GENERIC, "it does not obey the cluster")
        self.expect("alpha", "stop", GENERIC, "must be fenced")


    def test_it_takes_no_alerts_of_a_cluster(self):
        self.alert("alpha", 1, 'the arbiter of this node\'s hapair is "none"', kind="node", node="beta", desc="lost")
        self.assertEqual(self.pair.told("alpha", "pacemaker-node"), [])

    def test_its_node_is_not_fenced_for_a_cluster_either(self):
        self.fence("alpha", "monitor", GENERIC, 'fence_hapair is for "pacemaker"')
        self.fence("alpha", "reboot", GENERIC, "a node is reset at once for Pacemaker only")


class FenceMetadata(unittest.TestCase):
    def test_every_action_that_it_names_is_one_that_it_has(self):
        done = subprocess.run([FENCE_AGENT, "-o", "metadata"], capture_output=True, text=True, check=True)
        root = xml.etree.ElementTree.fromstring(done.stdout)
        self.assertEqual(root.get("name"), "fence_hapair")
        actions = {action.get("name") for action in root.find("actions")}
        self.assertEqual(actions, {"reboot", "off", "status", "monitor", "list", "metadata", "validate-all"})
        for parameter in root.find("parameters"):
            self.assertTrue(parameter.find("getopt").get("mixed") and parameter.find("content").get("type") and parameter.find("shortdesc").text)
        for action in actions - {"metadata"}:
            status, said = call_fence(f"action={action}\nhapair=/nowhere/hapair\n")
            self.assertEqual(status, GENERIC)
            self.assertIn("/nowhere/hapair is not there", said, action)

    def test_pacemaker_reads_it(self):
        folder = tempfile.mkdtemp(prefix="hapair-fence-", dir="/run")
        self.addCleanup(shutil.rmtree, folder)
        shutil.copytree("/usr/sbin", f"{folder}/sbin", symlinks=True, ignore=lambda _, names: [name for name in names if not name.startswith("fence_")])
        shutil.copy2(FENCE_AGENT, f"{folder}/sbin/fence_hapair")
        done = subprocess.run(["unshare", "--mount", "sh", "-c", f"PATH=$PATH:{folder}; tool=$(command -v stonith_admin); cp $tool {folder}/tool; "
                               f"mount --bind {folder}/sbin /usr/sbin && exec {folder}/tool --metadata --agent fence_hapair"],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('name="power_timeout"', done.stdout)

    def test_what_is_wrong_is_said_in_a_sentence(self):
        for given, sentence in (("action=explode\n", 'there is no action "explode"'), ("power_timeout=soon\n", "a number of seconds"),
                                ("power_timeout=0\n", "1 to 3600"), ("action=validate-all\nconfig=/nowhere\n", "/nowhere cannot be read")):
            status, said = call_fence(f"hapair=/bin/true\n{given}")
            self.assertEqual((status, sentence in said), (GENERIC, True), said)
        self.assertEqual(call_fence("nodename=beta\npcmk_what=1\n# a remark\n\naction=validate-all\nhapair=/bin/true\nconfig=/dev/null")[0], SUCCESS)


class FenceAgent(World):
    """Its reset of a whole node is in `tests/interop/run fencing`: here no node can be reset, and nothing must come of an order."""

    def test_a_pair_that_is_well(self):
        for action in ("status", "monitor", "validate-all"):
            self.fence("alpha", action, SUCCESS)
        self.fence("alpha", "list", SUCCESS, "beta")
        self.fence("beta", "list", SUCCESS, "alpha")
        self.fence("alpha", "reboot", GENERIC, "it is beta that alpha can reset", plug="alpha")

    def test_a_partner_that_cannot_reset_itself_is_not_fenced_and_serves_on(self):
        self.expect("beta", "start", SUCCESS)
        self.expect("beta", "promote", SUCCESS)
        for action in ("reboot", "off"):
            self.fence("alpha", action, GENERIC, 'cannot reset its node (its ccm.poison.reset is "none")')
        self.assertTrue(self.runs("beta"))
        self.expect("beta", "monitor", PROMOTED)
        self.assertEqual(self.pair.told("beta", "poisoned"), [])
        self.assertEqual(len([text for text in self.pair.told("alpha", "cluster-fence") if "beta is not fenced" in text]), 2)

    def test_a_partner_that_cannot_be_told_is_not_fenced(self):
        for rail in self.pair.rails.values():
            rail.tell("both", "cut")
        self.pair.wait_verdict("alpha", "unreachable")
        self.pair.wait_until(lambda: all(rail["handshake"] != "connected" for rail in
                                         json.loads(self.pair.hapair("alpha", "status", "--json").stdout)["ccm"]["rails"]), "alpha gives its rails up")
        self.fence("alpha", "reboot", GENERIC, "no rail to beta is connected")
        self.fence("alpha", "status", GENERIC, "whether beta runs cannot be told")
        self.fence("alpha", "monitor", SUCCESS)


class Tester(World):
    def test_ocf_tester(self):
        environment = self.environment("alpha")
        parameters = [f"{name.removeprefix('OCF_RESKEY_')}={value}" for name, value in environment.items() if name.startswith("OCF_RESKEY_")]
        options = [word for parameter in parameters if not parameter.startswith("CRM") for word in ("-o", parameter)]
        place = os.path.join(self.pair.folder, "storage-pair")  # it is run as nobody too
        shutil.copy2(AGENT, place)
        os.chmod(self.pair.folder, 0o755)
        done = subprocess.run(["ocf-tester", "-n", "pool-a", *options, place], capture_output=True, text=True, check=False, timeout=180,
                              env={"PATH": os.environ["PATH"], "HA_RSCTMP": environment["HA_RSCTMP"], "LC_ALL": "C"})
        print(done.stdout + done.stderr)
        self.assertEqual(done.returncode, 0)
        self.assertIn("passed all tests", done.stdout)

    def test_what_a_monitor_costs(self):
        """Told, not asserted: README's figure comes from the preset release."""
        self.expect("alpha", "start", SUCCESS)
        self.expect("alpha", "promote", SUCCESS)
        self.expect("alpha", "monitor", PROMOTED)
        costs = []
        for _ in range(21):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.expect("alpha", "monitor", PROMOTED)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            costs.append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
        print(f"monitor: {min(costs):.1f} / {statistics.median(costs):.1f} / {max(costs):.1f} ms of processor, n {len(costs)}")


if __name__ == "__main__":
    sys.exit(run_tests(use_build))
