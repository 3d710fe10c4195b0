"""The fleet: a coordinator, the devices that join it, and the command line."""
