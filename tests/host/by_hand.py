"""A world without the cluster: the pools are started and stopped by their real OCF agents, called as an agent calls
them, on the node that a test names."""

import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "deploy", "demo"))

from world.config import resources_of  # noqa: E402
from world.layout import WorldError  # noqa: E402

OCF_ROOT = "/usr/lib/ocf"


def run_agent(machine, pool, resource, action):
    """One action of one resource's agent in a node."""
    _, provider, agent = resource["type"].split(":")
    environment = {
        "OCF_ROOT": OCF_ROOT, "OCF_RA_VERSION_MAJOR": "1", "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": f"{pool.name}.{resource['name']}", "OCF_RESOURCE_TYPE": agent,
        "OCF_RESOURCE_PROVIDER": provider, "HA_RSCTMP": "/run/resource-agents", "HA_LOGFACILITY": "none", "HA_debug": "0",
        **{f"OCF_RESKEY_{name}": value for name, value in resource["parameters"].items()},
    }
    return machine.execute("env", *(f"{name}={value}" for name, value in environment.items()),
                           f"{OCF_ROOT}/resource.d/{provider}/{agent}", action)


def start_pool(machine, pool, only=None):
    for resource in resources_of(pool):
        if only and resource["name"] not in only:
            continue
        done = run_agent(machine, pool, resource, "start")
        if done.returncode != 0:
            raise WorldError(f"{pool.name}.{resource['name']} did not start on {machine.node} ({done.returncode}): "
                             f"{done.stderr.strip()}")


def stop_pool(machine, pool):
    for resource in reversed(resources_of(pool)):
        done = run_agent(machine, pool, resource, "stop")
        if done.returncode != 0:
            raise WorldError(f"{pool.name}.{resource['name']} did not stop on {machine.node} ({done.returncode}): "
                             f"{done.stderr.strip()}")
