"""The service network: a switch in a network namespace of its own, so that this machine's own network never sees an
address of the demonstration, and one port a machine; in some worlds a second switch, of the interconnect."""

import os

from .command import run, succeeds
from .layout import ADDRESSES, NETWORK_BITS, NODES, RAIL_ADDRESSES

SWITCH = "switch"
RAIL_SWITCH = "railswitch"


def rail_port(node):
    return f"{node}-rail"


class Network:
    def __init__(self, layout, rail=False):
        self.layout = layout
        self.rail = rail
        self.parted = False
        self.net = layout.netns("net")

    def build(self):
        run("ip", "netns", "add", self.net)
        run("ip", "-n", self.net, "-batch", "-", stdin=f"link set lo up\nlink add {SWITCH} type bridge\n"
                                                       f"link set {SWITCH} up\n")
        if self.rail:
            run("ip", "-n", self.net, "-batch", "-", stdin=f"link add {RAIL_SWITCH} type bridge\nlink set {RAIL_SWITCH} up\n")

    def plug_in(self, place):
        """Makes the network namespace of a machine and connects its eth0 to the switch."""
        netns = self.layout.netns(place)
        run("ip", "netns", "add", netns)
        run("ip", "-n", self.net, "-batch", "-",
            stdin=f"link add {place} type veth peer name eth0 netns {netns}\n"
                  f"link set {place} master {SWITCH} up\n")
        run("ip", "-n", netns, "-batch", "-",
            stdin=f"link set lo up\naddr add {ADDRESSES[place]}/{NETWORK_BITS} dev eth0\nlink set eth0 up\n")
        if self.rail and place in NODES:
            self._plug_rail_in(place, netns)
        if self.parted and place in NODES:
            self._set_isolated(place)

    def _plug_rail_in(self, node, netns):
        port = rail_port(node)
        run("ip", "-n", self.net, "-batch", "-",
            stdin=f"link add {port} type veth peer name rail0 netns {netns}\n"
                  f"link set {port} master {RAIL_SWITCH} up\n")
        run("ip", "-n", netns, "-batch", "-",
            stdin=f"addr add {RAIL_ADDRESSES[node]}/{NETWORK_BITS} dev rail0\nlink set rail0 up\n")

    def part(self, parted=True):
        """Cuts every way between the two nodes, or mends it: in each switch, so both keep their links, and the client its
        way to either."""
        self.parted = parted
        for node in NODES:
            if self.is_plugged_in(node):
                self._set_isolated(node)

    def _set_isolated(self, node):
        ports = [node, rail_port(node)] if self.rail else [node]
        word = "on" if self.parted else "off"
        run("ip", "-n", self.net, "-batch", "-",
            stdin="".join(f"link set {port} type bridge_slave isolated {word}\n" for port in ports))

    def cut(self, place):
        run("ip", "-n", self.net, "link", "set", place, "down")

    def restore(self, place):
        run("ip", "-n", self.net, "link", "set", place, "up")

    def unplug(self, place):
        """The switch's side first: a namespace that is deleted frees its own side only some time later."""
        if self.is_plugged_in(place):
            run("ip", "-n", self.net, "link", "del", place)
            if self.rail and place in NODES:
                run("ip", "-n", self.net, "link", "del", rail_port(place))
        if os.path.exists(self.layout.netns_path(place)):
            run("ip", "netns", "del", self.layout.netns(place))

    def is_plugged_in(self, place):
        return os.path.exists(self.layout.netns_path("net")) and succeeds("ip", "-n", self.net, "link", "show", place)
