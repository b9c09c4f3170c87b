"""A score more: whether the code names its licence."""

from phases.quality_scoring import Scoring


def licence(item: Scoring) -> None:
    named = any("SPDX" in comment.text for comment in item.structure.comments)
    item.give("LicenceCheck", 10.0 if named else 0.0, "licence named" if named else "no licence")
