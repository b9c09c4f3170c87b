"""What code does (BehaviourCheck of Diagram 6): a function beside a reference, in a sandbox that has no outside.

declarations, signature   what a function takes and gives
compile     from text to a module that imports nothing    stand_ins   what real code calls, and is not in it
inputs      inputs made from the signature, seeded    memory    values in a module's memory
run         bounded calls                             compare   two functions side by side
judging     from two texts to a score                 flow      GCC's warnings of the flow of control
"""

from phases.quality_scoring.behaviour.compare import Behaviour, Difference
from phases.quality_scoring.behaviour.judging import SandboxMissing, available, beside, consensus, require

__all__ = ["Behaviour", "Difference", "SandboxMissing", "available", "beside", "consensus", "require"]
