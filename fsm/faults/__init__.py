"""What the failure of a service means, decided in one place for whoever asks one: a bucket, a teacher, a job."""

from fsm.faults.fault import Fault, fault
from fsm.faults.table import Kind

__all__ = ["Fault", "Kind", "fault"]
