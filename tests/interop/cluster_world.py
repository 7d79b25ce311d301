"""A real Corosync and a real Pacemaker on the demonstration's two nodes (deploy/demo/world): each node's pool of real resources is a
promotable clone of ocf:hapair:storage-pair, the power controller is the fence device, and a watcher looks at mounts, addresses and open
disks of both all the time, from outside."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import xml.etree.ElementTree

from demonstration import Demonstration
from world.layout import ADDRESSES, NODES, POOLS, WorldError, now_ns
from world.shape import Shape
from world.world import World

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
AGENTS = os.path.join(ROOT, "resource-agents")
LOOK_EVERY_S = 0.05
FENCE_DELAYS = "alpha:3s;beta:0s"  # without one a race may shoot both
# What a node's boot does after hapair's own services: what systemd would, and Debian's packages have at fixed places.
START = """set -e
mkdir -p /run/crm /run/pacemaker /run/more/ocf/hapair /run/more/sbin /run/lock
chown hacluster:haclient /run/crm /run/pacemaker
chmod 750 /run/crm /run/pacemaker
cp /usr/local/sbin/storage-pair /run/more/ocf/hapair/
cp /usr/local/sbin/fence_demo /usr/local/sbin/fence_hapair /run/more/sbin/
mount -t overlay agents -o lowerdir=/run/more/ocf:/usr/lib/ocf/resource.d /usr/lib/ocf/resource.d
mount -t overlay fences -o lowerdir=/run/more/sbin:/usr/sbin /usr/sbin
corosync
export PCMK_logfacility=none PCMK_logfile=/var/log/pacemaker/pacemaker.log
setsid -f pacemakerd </dev/null >/dev/null 2>&1
"""
COROSYNC = """totem {{
  version: 2
  cluster_name: hapair
  transport: knet
  crypto_cipher: aes256
  crypto_hash: sha256
{token}}}
nodelist {{
{nodes}}}
quorum {{
  provider: corosync_votequorum
  two_node: 1
}}
logging {{
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: hires
}}
"""
# Without a first one with a short dc-deadtime an election waits twenty seconds for nodes that may come.
FIRST_CIB = """<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
  <configuration><crm_config><cluster_property_set id="cib-bootstrap-options">
    <nvpair id="deadtime" name="dc-deadtime" value="3s"/><nvpair id="fencing" name="stonith-enabled" value="true"/>
    <nvpair id="quorum" name="no-quorum-policy" value="stop"/>{properties}
  </cluster_property_set></crm_config><nodes/><resources>{resources}</resources><constraints>{constraints}</constraints>{topology}
  <alerts><alert id="hapair" path="/usr/local/sbin/alert_hapair"/></alerts>
  </configuration><status/></cib>
"""
CLONE = """<clone id="{pool}-clone"><meta_attributes id="{pool}-meta"><nvpair id="{pool}-p" name="promotable" value="true"/>
<nvpair id="{pool}-n" name="notify" value="false"/><nvpair id="{pool}-t" name="migration-threshold" value="2"/><nvpair id="{pool}-m" name="promoted-max" value="1"/></meta_attributes>
<primitive id="{pool}" class="ocf" provider="hapair" type="storage-pair"><instance_attributes id="{pool}-i">
<nvpair id="{pool}-pool" name="pool" value="{pool}"/></instance_attributes><operations>
<op id="{pool}-m1" name="monitor" interval="5s" role="Promoted" timeout="20s"/>
<op id="{pool}-m2" name="monitor" interval="6s" role="Unpromoted" timeout="20s"/>
<op id="{pool}-s" name="stop" interval="0" timeout="60s"/><op id="{pool}-d" name="demote" interval="0" timeout="60s"/>
<op id="{pool}-o" name="promote" interval="0" timeout="60s"/></operations></primitive></clone>"""
# Off, for these nodes boot within a second, before anybody has missed them; the keeper switches them on again seconds later.
FENCING = """<primitive id="power" class="stonith" type="fence_demo"><instance_attributes id="power-i">
<nvpair id="power-l" name="pcmk_host_list" value="alpha beta"/><nvpair id="power-d" name="pcmk_delay_base" value="{delays}"/>
<nvpair id="power-r" name="pcmk_reboot_action" value="off"/>
</instance_attributes></primitive>"""
HOME = """<rsc_location id="{pool}-home" rsc="{pool}-clone"><rule id="{pool}-rule" role="Promoted" score="50">
<expression id="{pool}-x" attribute="#uname" operation="eq" value="{home}"/></rule></rsc_location>"""


def configure(_node, configuration):
    """Pacemaker decides, and fences."""
    return configuration | {"arbiter": "pacemaker", "fencing": {"devices": []}}


class ClusterWorld(Demonstration):
    """`FENCES`, `TOPOLOGY`, `PROPERTIES`: of the CIB."""
    PROPERTIES = ""
    FENCES = FENCING
    TOPOLOGY = ""

    def __init__(self, options, build_folder, token_ms=None, shape=Shape(configure=configure)):
        """`token_ms`: Corosync's; nothing: its default."""
        super().__init__(options, World(build_folder, "pacemaker", shape=shape))
        self.token_ms = token_ms
        self.started = {}   # node: the PID 1 in which the cluster was started
        self.ending = False
        self.starter = threading.Thread(target=self._start_clusters, daemon=True, name="systemd")

    # --- up ---

    def bring_up(self):
        self.raise_nodes()
        self.starter.start()
        self.wait("both pools are promoted at home and both clients write", 120, lambda: all(
            self.promoted(pool.name) == [pool.home] for pool in POOLS) and all(
                client.acknowledged() > 0 for client in self.world.clients.values()))

    def raise_nodes(self):
        found = self.world.claim()
        if found:
            print(f"cleared away what an earlier run left: {', '.join(found)}", flush=True)
        self.world.build()
        for agent in ("storage-pair", "fence_hapair", "alert_hapair"):
            shutil.copy2(os.path.join(AGENTS, agent), self.world.layout.programs)
        os.chmod(self.world.layout.programs, 0o755)  # the nodes' /usr/local/sbin, where hacluster finds hapair; the folder above is root's
        for node in NODES:
            self._prepare_cluster(node)
        self.world.watcher.start()
        for machine in self.machines.values():
            machine.power_on()
        self.keeper.start()
        for client in self.world.clients.values():
            client.start()

    def _prepare_cluster(self, node):
        def place(*parts):
            return self.world.layout.node(node, *parts)
        for folder in ("etc/corosync", "etc/pacemaker", "var/lib/corosync", "var/log/corosync", "var/log/pacemaker"):
            os.makedirs(place(folder), exist_ok=True)
        members = "".join(f"  node {{\n    ring0_addr: {ADDRESSES[each]}\n    name: {each}\n    nodeid: {number + 1}\n  }}\n"
                          for number, each in enumerate(NODES))
        with open(place("etc/corosync/corosync.conf"), "w", encoding="utf-8") as file:
            file.write(COROSYNC.format(token=f"  token: {self.token_ms}\n" if self.token_ms else "", nodes=members))
        with open(place("etc/hosts"), "w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n" + "".join(f"{ADDRESSES[each]} {each}\n" for each in NODES))
        secrets = self.world.layout.node("secrets")
        os.makedirs(secrets, mode=0o700, exist_ok=True)
        for name in ("corosync", "pacemaker"):
            path = os.path.join(secrets, name)
            if not os.path.exists(path):
                with open(path, "wb") as file:
                    file.write(os.urandom(1024))
            shutil.copy2(path, place("etc", name, "authkey"))
        os.chmod(place("etc/corosync/authkey"), 0o400)
        shutil.chown(place("etc/pacemaker/authkey"), "root", "haclient")
        os.chmod(place("etc/pacemaker/authkey"), 0o640)
        for folder in ("cib", "pengine", "cores", "blackbox"):
            os.makedirs(place("var/lib/pacemaker", folder), mode=0o750, exist_ok=True)
            shutil.chown(place("var/lib/pacemaker", folder), "hacluster", "haclient")
        for folder in ("var/lib/pacemaker", "var/log/pacemaker"):
            shutil.chown(place(folder), "hacluster", "haclient")
        cib = place("var/lib/pacemaker/cib/cib.xml")
        with open(cib, "w", encoding="utf-8") as file:
            file.write(FIRST_CIB.format(
                resources="".join(CLONE.format(pool=pool.name) for pool in POOLS) + self.FENCES.format(delays=FENCE_DELAYS),
                topology=self.TOPOLOGY, properties=self.PROPERTIES,
                constraints="".join(HOME.format(pool=pool.name, home=pool.home) for pool in POOLS)))
        shutil.chown(cib, "hacluster", "haclient")
        os.chmod(cib, 0o600)

    def _start_clusters(self):
        """Corosync and Pacemaker are started at each boot, after hapair: what systemd does on a real node."""
        while not self.ending:
            for node, machine in self.machines.items():
                pid = machine.pid
                if not machine.is_on or self.started.get(node) == pid or not machine.wait_for("kernel", 0.01):
                    continue
                with contextlib.suppress(WorldError):
                    if self.ask(node, "status") is None:
                        continue
                    done = machine.execute("sh", "-c", START, timeout=30)
                    if done.returncode == 0:
                        self.started[node] = pid
                    elif machine.is_on and machine.pid == pid:
                        print(f"{node}: the cluster could not be started: {done.stderr.strip()}", flush=True)
                        self.started[node] = pid
            time.sleep(LOOK_EVERY_S)

    def end(self):
        self.ending = True
        if self.starter.is_alive():
            self.starter.join()
        return super().end()

    # --- looking ---

    def crm_mon(self, node=None):
        """What the cluster says of itself, as XML, asked on the first node that answers."""
        for each in [node] if node else NODES:
            with contextlib.suppress(WorldError, xml.etree.ElementTree.ParseError, subprocess.SubprocessError):
                done = self.machines[each].execute("crm_mon", "--as-xml", timeout=20)
                if done.returncode == 0:
                    root = xml.etree.ElementTree.fromstring(done.stdout)
                    if root.find("summary/current_dc") is not None:
                        return root
        return None

    def promoted(self, pool, node=None):
        """The nodes on which the cluster has it promoted."""
        root = self.crm_mon(node)
        if root is None:
            return []
        return [each.get("name") for resource in root.iter("resource") if resource.get("id") == pool and
                resource.get("role") in ("Promoted", "Master") and resource.get("failed") == "false" for each in resource.iter("node")]

    def online(self):
        root = self.crm_mon()
        return set() if root is None else {node.get("name") for node in root.findall("nodes/node") if node.get("online") == "true"}

    def settled(self):
        """No transition is under way."""
        for node in NODES:
            with contextlib.suppress(WorldError):
                done = self.machines[node].execute("crm_resource", "--wait", "--timeout", "1s", timeout=20)
                if done.returncode == 0:
                    return True
        return False

    def summary(self):
        root = self.crm_mon()
        if root is None:
            return "the cluster does not answer"
        words = [f"{node.get('name')} {'online' if node.get('online') == 'true' else 'offline'}"
                 f"{' standby' if node.get('standby') == 'true' else ''}" for node in root.findall("nodes/node")]
        words += [f"{pool.name} promoted on {', '.join(self.promoted(pool.name)) or 'no node'}" for pool in POOLS]
        return "; ".join(words)

    def consensus(self, node):
        """What Corosync there waits for members, and what hapair has noted of it."""
        keys = self.machines[node].execute("corosync-cmapctl").stdout.splitlines()
        return [line for line in keys if line.startswith(("runtime.config.totem.consensus ", "totem.consensus ", "hapair-look.consensus "))]

    def fenced_since(self, since_ns):
        return [entry["node"] for entry in self.world.power.log if entry["from_ns"] >= since_ns and
                entry["action"] in ("off", "reboot") and entry["was_on"] and entry["answer"].startswith("ok")]

    def serves(self, pool, node):
        """The cluster says so, the watcher sees it, and the client writes there."""
        holder, since = self.holder(pool=pool)
        return holder == node and self.promoted(pool) == [node] and self.writes_since(since, pool)

    def tool(self, *command):
        """A command of the cluster, on the first node on which it works."""
        said = ""
        for node in NODES:
            with contextlib.suppress(WorldError):
                done = self.machines[node].execute(*command, timeout=60)
                if done.returncode == 0:
                    return done.stdout
                said = done.stderr
        raise WorldError(f"{' '.join(command)}: {said.strip()}")

    def set_look_at_once(self, on):
        """In both nodes' configurations; hapaird, killed, comes back with it and goes on with what runs."""
        for node in NODES:
            self.reconfigure(node, {"pacemaker": {"look_at_once": on}}, signal.SIGKILL)
            self.wait(f"{node} sees its partner again", 30,
                      lambda one=node: (self.ask(one, "status") or {}).get("partner_status", {}).get("verdict") == "alive")

    def reconfigure(self, node, changes, number):
        """hapaird is ended by that signal, and comes back with the changed configuration."""
        path = self.world.layout.node(node, "etc/hapair/hapair.json")
        with open(path, encoding="utf-8") as file:
            configuration = json.load(file)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(configuration | changes, file, indent=2)
        before = self.machines[node].pids_of("hapaird")
        self.machines[node].signal_program("hapaird", number)
        self.wait(f"hapaird of {node} is back", 60, lambda: self.machines[node].pids_of("hapaird") not in ([], before)
                  and self.ask(node, "status"))

    @staticmethod
    def now():
        return now_ns()
