"""The demonstration's world: two machines, a switch, disks, a power controller, clients and a watcher, all of them
namespaces and processes of this machine."""
