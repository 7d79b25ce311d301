"""What a world has beside the demonstration's own: a test may want other nodes."""

import dataclasses
import typing


def as_it_is(_node, configuration):
    return configuration


@dataclasses.dataclass(frozen=True)
class Shape:
    watchdog: str = ""    # where a node's PID 1, hapair-node-init then, offers its watchdog; empty: nodes without one
    rail: bool = False    # an interconnect of Ethernet beside the service network: interface rail0, RAIL_ADDRESSES
    more_disks: typing.Mapping[str, int] = dataclasses.field(default_factory=dict)  # shared, blank: name and bytes
    configure: typing.Callable[[str, dict], dict] = as_it_is  # of a node and its configuration: the one that it gets
