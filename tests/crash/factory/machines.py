"""The drawings of the factory."""

from fsm.engine import COUNTED, Verdict
from tests.fsm.drawn import drawn

FACTORY = drawn(
    """
    [*] --> Order
    Order --> Make : Not in stock
    Order --> Fetch : In stock
    state Make {
        [*] --> Cut
        Cut --> Drill
        Cut --> Paint
        Drill --> Join
        Paint --> Join
        Join --> Check
        state Check {
            [*] --> Look
            Look --> Mend : Bad
            Look --> Weigh : Good
            Mend --> Look
            Weigh --> [*]
        }
        Check --> [*]
    }
    Make --> Count
    Fetch --> Count
    state Count {
        [*] --> Take
        Take --> Odd : odd
        Take --> Even : even
        Odd --> [*]
        Even --> [*]
    }
    Count --> Ship
    Ship --> Order : More
    Ship --> Bill : Done
    Bill --> [*]
    """,
    "factory",
    inside={"Count": COUNTED},
    calls={"Make.Drill": ("press",)},
    bounds={("Ship", "More"): "rounds", ("Make.Check.Mend", None): "mends"},
)

PRESS = drawn(
    """
    [*] --> Heat
    Heat --> Press
    Press --> Heat : Again
    Press --> [*] : Pressed
    """,
    "press",
    bounds={("Press", "Again"): "presses"},
)

RESCUE = drawn(
    """
    state Glitch {
        [*] --> Jam
        Jam --> Shake
        [*] --> Scrap
        Scrap --> Throw
        [*] --> Fire
        Fire --> Alarm : ring
        Alarm --> Leave
    }
    """,
    "rescue",
    ends={"Shake": Verdict.AGAIN, "Throw": Verdict.SKIP, "Leave": Verdict.STOP},
    entered_at=("Jam", "Scrap", "Fire"),
)

NAMES = {name: f"{__name__}:{name.upper()}" for name in ("factory", "press", "rescue")}
