"""What the failure of a service means, decided in one place for whoever asks one: a bucket, a teacher, a job."""

from fsm.faults.meaning import Fault, fault
from fsm.faults.patience import PATIENCE, Clock, Patient, Tells, silent
from fsm.faults.table import Kind

__all__ = ["PATIENCE", "Clock", "Fault", "Kind", "Patient", "Tells", "fault", "silent"]
