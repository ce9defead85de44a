"""Live migration of virtual machines between KVM hosts, proven from outside."""

__version__ = "0.1.0"
