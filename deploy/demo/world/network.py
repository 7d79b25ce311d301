"""The service network: a switch in a network namespace of its own, so that this machine's own network never sees an
address of the demonstration, and one port a machine."""

import os

from .command import run, succeeds
from .layout import ADDRESSES, NETWORK_BITS

SWITCH = "switch"


class Network:
    def __init__(self, layout):
        self.layout = layout
        self.net = layout.netns("net")

    def build(self):
        run("ip", "netns", "add", self.net)
        run("ip", "-n", self.net, "-batch", "-", stdin=f"link set lo up\nlink add {SWITCH} type bridge\n"
                                                       f"link set {SWITCH} up\n")

    def plug_in(self, place):
        """Makes the network namespace of a machine and connects its eth0 to the switch."""
        netns = self.layout.netns(place)
        run("ip", "netns", "add", netns)
        run("ip", "-n", self.net, "-batch", "-",
            stdin=f"link add {place} type veth peer name eth0 netns {netns}\n"
                  f"link set {place} master {SWITCH} up\n")
        run("ip", "-n", netns, "-batch", "-",
            stdin=f"link set lo up\naddr add {ADDRESSES[place]}/{NETWORK_BITS} dev eth0\nlink set eth0 up\n")

    def cut(self, place):
        run("ip", "-n", self.net, "link", "set", place, "down")

    def restore(self, place):
        run("ip", "-n", self.net, "link", "set", place, "up")

    def unplug(self, place):
        """The switch's side first: a namespace that is deleted frees its own side only some time later."""
        if self.is_plugged_in(place):
            run("ip", "-n", self.net, "link", "del", place)
        if os.path.exists(self.layout.netns_path(place)):
            run("ip", "netns", "del", self.layout.netns(place))

    def is_plugged_in(self, place):
        return os.path.exists(self.layout.netns_path("net")) and succeeds("ip", "-n", self.net, "link", "show", place)
