"""What code does: right is right however it is written, what only looks so is told apart, and whatever it is it ends."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from phases.quality_scoring import QualityScoringConfig, SandboxMissing, score
from phases.quality_scoring.behaviour import Behaviour, beside, consensus, judging
from phases.quality_scoring.config import BehaviourConfig
from phases.teacher_generation.offline.shapes import SHAPES, Shape
from tests.needs import needing
from tests.phases.quality_scoring.behaviour import cheats

pytestmark = needing("behaviour")
CONFIG = BehaviourConfig()
PAGE = Path(__file__).parents[4] / "docs" / "scoring.md"
TABLE = cheats.read()
KINDS = [shape for domain in sorted(SHAPES) for shape in SHAPES[domain]]


def told(answer: str, reference: str, prompt: str = "", **settings: Any) -> Behaviour:
    return beside(answer, reference, prompt, CONFIG.model_copy(update=settings))


@pytest.mark.parametrize("name", TABLE.right)
def test_another_way_to_do_the_same_is_as_good(name: str) -> None:
    found = told(TABLE.right[name], TABLE.honest, TABLE.prompt)
    assert (found.score, found.agreeing, found.weak) == (10.0, found.inputs, False)


@pytest.mark.parametrize("name", TABLE.wrong)
def test_what_only_looks_right_is_below_honest_code(name: str) -> None:
    found = told(TABLE.wrong[name], TABLE.honest, TABLE.prompt)
    assert found.score is not None
    assert found.score < 9
    assert found.reason


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2))
def test_every_function_agrees_with_itself(shape: Shape, seed: int) -> None:
    text = shape.write(shape.kind)
    found = told(text, text + "/* the same */\n", seed=seed, inputs=24)
    assert found.score == 10.0


def test_the_page_shows_the_behaviour_of_today() -> None:
    shown = (
        PAGE.read_text("utf-8").partition("<!-- behaviour -->")[2].partition("<!-- end of behaviour -->")[0]
    )
    rows = re.findall(r"^\| (?!answer|-)([^|]+) \| ([\d.]+) \| ([\d.]+) \|", shown, re.MULTILINE)
    texts = {"honest": TABLE.honest, **TABLE.right, **TABLE.wrong}
    assert [name for name, _, _ in rows] == list(texts)
    for name, drawn, behaviour in rows:
        now = score(texts[name], TABLE.prompt, reference=TABLE.honest)
        assert now.behaviour is not None
        assert now.behaviour.score is not None
        assert (drawn, behaviour) == (f"{now.overall:.2f}", f"{now.behaviour.score:.2f}"), name


def test_the_first_input_that_tells_two_apart_is_shown() -> None:
    found = told(TABLE.wrong["a number not copied (16 for 10)"], TABLE.honest, TABLE.prompt)
    assert found.first is not None
    assert found.first.input.startswith("stream_window(sample = {")
    assert found.first.expected != found.first.got
    assert found == told(TABLE.wrong["a number not copied (16 for 10)"], TABLE.honest + "\n", TABLE.prompt)


def test_a_register_is_no_place_to_miss_a_null_pointer() -> None:
    """The compiler's check leaves out what is volatile."""
    checked = "int f(volatile uint32_t *at) { if (at == NULL) return 0; *at |= 4U; return (int)(*at & 8U); }"
    assert told(checked.replace("|= 4U", "= *at | 4U"), checked).score == 10.0
    assert told(checked.replace("if (at == NULL) return 0;", ""), checked).score == 0.0


def test_a_reference_that_returns_one_thing_is_a_weak_test() -> None:
    one = "int f(int x) { return x == x ? 4 : 5; }"
    found = told("int f(int x) { (void)x; return 4; }", one)
    assert (found.score, found.weak) == (10.0, True)
    assert "weak" in found.reason


def test_what_a_function_keeps_is_seen_in_a_sequence_of_calls() -> None:
    counts = "uint32_t next(uint32_t step) { static uint32_t at; at += step; return at; }"
    assert told(counts.replace("at += step", "at = at + step"), counts).score == 10.0
    forgets = told("uint32_t next(uint32_t step) { uint32_t at = 0; at += step; return at; }", counts)
    assert forgets.score is not None
    assert forgets.score < 8


TAG = "struct tag { uint16_t tpid; int :0; uint16_t pcp : 3, dei : 1, vid : 12; };\n"


@pytest.mark.parametrize(
    ("reference", "answer", "agrees"),
    [
        ("double f(double x) { return x * 0.1; }", "double f(double x) { return x / 10.0; }", True),
        ("double f(double x) { return x * 0.1; }", "double f(double x) { return x * 0.11; }", False),
        (
            "struct p { int a; char b; long c; }; struct p f(struct p v) { v.a = v.b; return v; }",
            "struct p { long c; int a; char b; }; struct p f(struct p v) { v.a = v.b; return v; }",
            True,
        ),
        (
            "typedef struct { uint8_t mac[6]; uint16_t vlan; } k; void f(k *to, const k *from) { *to = *from; to->vlan &= 7; }",
            "void f(k *to, const k *from) { *to = *from; to->vlan %= 8; }",
            True,
        ),
        (
            "#ifndef K_H\n#define MOST 4\n#endif\nenum w { LOW, HIGH = MOST };\ntypedef struct { enum w of; int n[MOST]; } k;\n"
            "int f(const k *v) { return v->of == HIGH ? v->n[MOST - 1] : v->n[0]; }",
            "int f(const k *v) { if (v->of == HIGH) return v->n[3]; return v->n[0]; }",
            True,
        ),
        (
            "enum s { IDLE, RUN = 7 }; const char *f(enum s v) { return v == RUN ? \"run\" : \"idle\"; }",
            "enum s { IDLE, RUN = 7 }; const char *f(enum s v) { return v == RUN ? \"ran\" : \"idle\"; }",
            False,
        ),
        ("size_t f(const char *t) { return strlen(t); }", "size_t f(const char *t) { size_t n = 0; while (t[n]) n++; return n; }", True),
        ("int f(uint16_t a, int b) { return a - b; }", "int f(uint32_t a, int b) { return (int)a - b; }", True),
        ("int f(__int128 *v, int count) { return count ? (int)v[0] : 0; }", "int f(__int128 *v, int count) { return count ? (int)*v : 0; }", True),
        ("struct t { uint8_t of[20000]; }; int f(struct t *v) { return v->of[19999]; }", "int f(struct t *v) { return *(v->of + 19999); }", True),
        (TAG + "struct tag f(struct tag t) { t.vid ^= t.pcp; return t; }", TAG + "struct tag f(struct tag t) { t.vid = t.pcp ^ t.vid; return t; }", True),
        (TAG + "void f(struct tag *t, int p) { t->pcp = p & 7; }", TAG + "void f(struct tag *t, int p) { t->pcp = p & 3; }", False),
        (TAG + "int f(struct tag t) { return t.vid - t.pcp; }", TAG + "int f(struct tag t) { return t.vid + t.pcp; }", False),
        ("bool f(uint8_t m) { return (m & 8U) != 0U; }", "bool f(uint8_t m) { return (m >> 3) & 1U; }", True),
        (
            "char *f(char *to, size_t size, int v) { snprintf(to, size, \"%d!\", v); return to; }",
            "char *f(char *to, size_t size, int v) { snprintf(to, size, \"%i!\", v); return to; }",
            True,
        ),
    ],
)  # fmt: skip
def test_kinds_of_values(reference: str, answer: str, agrees: bool) -> None:
    found = told(answer, reference)
    assert found.score is not None, found.reason
    assert (found.score == 10.0) is agrees, found


@pytest.mark.parametrize(
    ("parameters", "score"),
    [
        ("uint32_t step, uint32_t base", 10.0),
        ("uint32_t step, uint32_t first", 10.0),  # that is base: step is where it says
        ("uint32_t first, uint32_t by", 10.0),
        ("uint8_t *step, uint32_t first", None),
    ],
)
def test_parameters_are_matched_by_their_names_before_their_places(parameters: str, score: float) -> None:
    base, step = ("first" if "first" in parameters else "base"), ("by" if "by" in parameters else "step")
    answer = f"uint32_t f({parameters}) {{ return {base} - 3 * (uint32_t){step}; }}"
    assert told(answer, "uint32_t f(uint32_t base, uint32_t step) { return base - 3 * step; }").score == score


@pytest.mark.parametrize(
    ("reference", "answer", "why"),
    [
        ("int f(int (*g)(int)) { return g(1); }", "", "`g`: it points to a function"),
        ("struct q; int f(struct q *v) { return v != 0; }", "", "nothing can be made for `v`"),
        ("int f(int x) { return *(int *)0 + x; }", "", "the reference bears only 0 of the inputs: it traps"),
        ("int f(int x) { return *(volatile int *)0 + x; }", "", "the reference bears only 0 of the inputs"),
        ("int f(int x) { *(volatile int *)8 = x; return x; }", "", "it writes through a null pointer"),
        ("int f(int x) { for (;;) { x ^= 1; } }", "", "the reference bears only 0 of the inputs: it does not come to an end"),
        ("void f(int x) { (void)(x + 1); }", "", "there is nothing to look at"),
        ("int f(int a) { return a; }", "int f(int a, int b) { return a + b; }", "it takes 2 parameters, the reference 1"),
        ("int f(int a, int b) { return a - b; }", "int f(int x, double y) { return x - (int)y; }", "cannot be told"),
        ("int f(int x) { asm(\"nop\"); return x; }", "", "it carries inline assembly"),
        ("struct s { char of[1L << 40]; }; int f(struct s *v) { return v->of[0]; }", "", "is larger than 64 KiB"),
        ("struct s { char of[1L << 40]; }; struct s f(int x) { static struct s *v; return v[x]; }", "", "is larger than 64 KiB"),
        (
            "int f(int x) { return x; }",
            "__attribute__((import_module(\"env\"), import_name(\"open\"))) int reach(int);\nint f(int x) { return reach(x); }",
            "there is no outside",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_says_why(reference: str, answer: str, why: str) -> None:
    found = told(answer or reference, reference)
    assert found.score is None
    assert found.reason.startswith("not comparable: ")
    assert why in found.reason


HUNDRED = "\n".join(
    f'__attribute__((export_name("e{n}"), visibility("default"))) int e{n}(void) {{ return {n}; }}'
    for n in range(100)
)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (HUNDRED + "\nint f(int x) { return x + e0(); }", 10.0),
        ("int f(int x) { while (malloc(1 << 16)) { } return x; }", 10.0),
        ("int f(int x) { for (;;) { malloc(64); } return x; }", 0.0),
        ("int f(int x) { volatile char big[1 << 16]; big[0] = 0; return f(x) + big[0]; }", 0.0),
        ("void *memory, *call, *table; int f(int x) { memory = &x; return x; }", 10.0),
        ("int sandbox_fill; int f(int x) { return x; }", None),
        ("void sandbox_begin(unsigned long s) { for (;;) { } } int f(int x) { return x; }", None),
        ("extern unsigned long sandbox_noted; int f(int x) { sandbox_noted = 9; return x; }", 10.0),
        ("int call_f(void) { return 1; }\n#define struct 7\nint f(int x) { return x; }", 10.0),
        ("#define sizeof(x) -5\nint f(int x) { return x; }", 10.0),
        ("#define sizeof(x) 4000000000L\nint f(int x) { return x; }", 10.0),
        ("#include \"/etc/passwd\"\n#embed \"/etc/passwd\"\nint f(int x) { return x; }", 10.0),
        ("asm(\".incbin \\\"/etc/passwd\\\"\");\nint f(int x) { return x; }", None),
        ("__attribute__((constructor)) void first(void) { for (;;) { } }\nint f(int x) { return x; }", 0.0),
        ("int f(int x) { return x", 0.0),
    ],
)  # fmt: skip
def test_hostile_code_has_an_end(answer: str, score: float | None) -> None:
    assert told(answer, "int f(int x) { return x; }").score == score


def test_what_points_beyond_memory_is_seen_as_that() -> None:
    of = "struct s { int a[64]; }; static struct s one; struct s *f(int x) { one.a[0] = x; return &one; }"
    found = told(of.replace("return &one", "return (struct s *)0x3FFFF8"), of)  # memory ends 8 bytes later
    assert found.score is not None
    assert found.score < 1
    assert found.first is not None
    assert "wild" in found.first.got


DRIVER = """
typedef unsigned int reg_t; struct dev; extern int reg_write(reg_t, reg_t value); int reg_read(reg_t at, reg_t *to);
void trace(const char *format, ...); double gain(double); char *label(int); static int writes; int errors;
int f(int x) {
    reg_t v = 0;
    int e = reg_read((reg_t)x, &v);
    trace("x %d", x);
    if (e < 0) { errors++; return e; }
    if (x > 100) { writes++; return reg_write(3, v + 7); }
    return (int)(v & 0xFF) + (gain(0.5) > 1) + (label(x) != 0);
}"""


@pytest.mark.parametrize(
    ("old", "new", "as_good"),
    [
        ('trace("x %d", x);', "", True),  # what prints is nobody's to compare
        ("if (e < 0)", "if (0 > e)", True),
        ("static int writes;", "static unsigned long writes;", True),  # kept otherwise
        ("v + 7", "v + 8", False),
        ("reg_write(3", "reg_write(4", False),
        ("gain(0.5)", "gain(0.25)", False),
        ("errors++;", "", False),
        ("return reg_write(3, v + 7);", "reg_write(3, v + 7); return 0;", False),
    ],
)  # fmt: skip
def test_what_real_code_calls_elsewhere_is_stood_in_for(old: str, new: str, as_good: bool) -> None:
    assert DRIVER.count(old) == 1
    found = told(DRIVER.replace(old, new), DRIVER)
    assert found.score is not None, found.reason
    assert (found.score == 10.0) is as_good, found


def test_the_answer_need_not_declare_what_is_stood_in_for_and_may_not_make_up_its_own() -> None:
    body = DRIVER[DRIVER.index("int f(") :].replace("errors++;", "")
    reference = DRIVER.replace("errors++;", "")
    assert told(body.replace("writes++; ", ""), reference).score == 10.0
    made_up = told(reference.replace("label(x)", "caption(x)"), reference)
    assert made_up.score == 0.0
    assert "caption" in made_up.reason
    samples = [reference, reference + "//", reference + "/**/"]  # of which nobody knows that one is right
    assert consensus(samples, "", CONFIG) == [None, None, None]


def test_numbers_and_members_that_the_code_names_are_asked_for() -> None:
    cases = "\n".join(f"case 0x{0x2000 + 3 * n:X}: return {n};" for n in range(16))
    code = f"struct s {{ int pad[40]; int on; }}; int f(const struct s *v, int id) {{ if (v->on) return -1; switch (id) {{ {cases} }} return -2; }}"
    found = told(code.replace("return 11;", "return 12;"), code)
    assert found.score is not None
    assert found.score < 10
    assert found.distinct > 8


def test_large_structures_are_made_of_what_the_code_names() -> None:
    members = " ".join(f"struct part p{n}[4];" for n in range(60))
    kinds = f"struct part {{ int a, b, c; struct whole *up; }}; struct whole {{ {members} struct {{ int in, out; }}; union {{ int raw; char *text; }}; }};"
    code = kinds + "int f(struct whole *w) { w->out = w->in + w->p7[2].b; return w->p7[2].up ? 1 : 0; }"
    assert told(code + "//", code).score == 10.0
    wrong = told(code.replace("w->in +", "w->in -"), code)
    assert wrong.score is not None
    assert wrong.score < 10


def test_the_sample_that_most_agree_with_is_the_one_to_keep() -> None:
    wrong = TABLE.wrong["off by one at the beginning"]
    found = consensus([TABLE.honest, wrong, TABLE.right["another loop"]], TABLE.prompt, CONFIG)
    assert found[0] == found[2]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0] > found[1]


def test_alone_it_is_told_what_a_function_does_to_itself() -> None:
    reads = score("int f(int x) { int y; if (x > 0) { y = 1; } return y; }", behaves=True).behaviour
    assert reads is not None
    assert reads.score is None
    notes = " ".join(note for _, note in reads.findings)
    assert "it reads what nobody wrote" in notes
    assert "use of uninitialized value" in notes
    assert 1 in [line for line, _ in reads.findings]
    good = score(TABLE.honest, TABLE.prompt, behaves=True).behaviour
    assert good is not None
    assert good.findings == ()


def test_without_a_weight_the_score_is_the_drawn_one() -> None:
    drawn = score(TABLE.honest, TABLE.prompt)
    beside_it = score(TABLE.honest, TABLE.prompt, reference=TABLE.honest)
    assert beside_it.drawn_as_dict() == drawn.as_dict()
    assert beside_it.as_dict()["behaviour"] == 10.0
    weighted = QualityScoringConfig.model_validate(
        {"weights": {"syntax": 0.2, "protocol": 0.2, "safety": 0.1, "style": 0.1, "behaviour": 0.4}}
    )
    wrong = score(TABLE.wrong["an uninitialised sum"], TABLE.prompt, weighted, reference=TABLE.honest)
    right = score(TABLE.honest, TABLE.prompt, weighted, reference=TABLE.honest)
    assert right.overall - wrong.overall == pytest.approx(4.0, abs=0.2)
    unknown = score(TABLE.honest, TABLE.prompt, weighted)  # no reference: the others are weighed
    assert unknown.overall == pytest.approx(
        (0.2 * unknown.syntax + 0.2 * unknown.protocol + 0.1 * unknown.safety + 0.1 * unknown.style) / 0.6
    )


def test_where_the_compiler_is_not_there_it_is_said_once_and_may_have_no_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "find_toolchain", lambda: None)
    judging.say_missing.cache_clear()
    with structlog.testing.capture_logs() as logs:
        found = [score(TABLE.honest, TABLE.prompt, reference=TABLE.honest) for _ in range(3)]
    assert [f.behaviour.score for f in found if f.behaviour] == [None] * 3
    assert found[0].drawn_as_dict() == score(TABLE.honest, TABLE.prompt).as_dict()
    assert ["behaviour" in entry["next"] for entry in logs] == [True]
    weighted = QualityScoringConfig(weights={"syntax": 0.5, "style": 0.2, "behaviour": 0.3})
    with pytest.raises(SandboxMissing, match="gives behaviour a weight"):
        score(TABLE.honest, TABLE.prompt, weighted)


def test_levels_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="must rise"):
        BehaviourConfig(levels=((0.0, 1.0), (0.5, 2.0)))
    assert (
        told(
            "int f(int x) { return x > 9; }",
            "int f(int x) { return x > 8; }",
            levels=((0.0, 0.0), (0.99, 0.0), (1.0, 10.0)),
        ).score
        == 0.0
    )


def test_threads_that_begin_together_have_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What two engines have made cannot meet: the first answers of a process were not comparable, now and then."""
    import wasmtime

    from phases.quality_scoring.behaviour import run

    make = wasmtime.Engine

    def slowly(config: Any) -> Any:
        time.sleep(0.05)
        return make(config)

    run._forget()
    monkeypatch.setattr(wasmtime, "Engine", slowly)
    with ThreadPoolExecutor(4) as pool:
        engines = [pool.submit(run._engine) for _ in range(4)]
    assert len({id(engine.result()) for engine in engines}) == 1
