"""The bakery's drawings as machines."""

from pathlib import Path

from fsm.engine import COUNTED, Detail, Machine, Verdict

NAMES = {name: f"toys.machines:{name.upper()}" for name in ("bakery", "oven", "mishaps")}
HERE = Path(__file__).parent

BAKERY = Machine(
    "bakery",
    HERE / "bakery.mmd",
    inside={
        "Bake": Detail(
            "oven",
            {
                "Heat": ("Preheat", "CheckTemperature"),
                "InOven": ("Loaves.*", "TakeOut"),
                "Cool": ("CoolBread", "CleanOven"),
            },
        )
    },
    exits={"Prepare": {"Knead": "Dough ready", "Complain": "No flour"}},
    failures=("No flour",),
)
OVEN = Machine(
    "oven",
    HERE / "oven.mmd",
    inside={"Loaves": COUNTED},
    bounds={("CheckTemperature", "Too cold"): "bakery.preheats"},
)
MISHAPS = Machine(
    "mishaps",
    HERE / "mishaps.mmd",
    ends={"TryAgain": Verdict.AGAIN, "CallThePlumber": Verdict.STOP},
    entered_at=("Burnt", "NoGas"),
)
