"""Finding functions in C and C++ text: with the right name and lines, whatever stands around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation.declarators import read_by_grammar, read_plain
from phases.data_preparation.functions import EMPTY_BODY, NO_END, Function, find_functions

BODY = "\n{\n\tint n = 0;\n\n\tn++;\n\treturn n;\n}\n"


def functions(text: str, key: str = "a.c") -> tuple[Function, ...]:
    return find_functions(key, text).functions


def names(text: str, key: str = "a.c") -> list[str]:
    return [function.name for function in functions(text, key)]


def lines(text: str, key: str = "a.c") -> list[tuple[str, int, int]]:
    return [(function.name, function.line, function.last) for function in functions(text, key)]


def test_definitions_are_found_and_declarations_are_not() -> None:
    assert names("int a(void);\nint b(void) { return 1; }\n#define C() { }\nint d[2] = { 1, 2 };\n") == ["b"]


def test_code_in_comments_and_strings_is_not_code() -> None:
    text = (
        "/* int a(void) { return 1; } */\nconst char *s = \"int b(void) { }\";\nint c(void) { return '}'; }\n"
    )
    assert names(text) == ["c"]


def test_names_are_found_behind_pointers_and_arguments_that_are_functions() -> None:
    text = "const char *a(int x) { return 0; }\nint (*b(void))(int) { return 0; }\nvoid c(int (*f)(int)) { f(1); }\n"
    assert names(text) == ["a", "b", "c"]


def test_what_is_wrong_in_a_body_hides_neither_it_nor_the_next() -> None:
    text = "int a(void) { return (1; }\nint b(void)\n{\n\tlist_for_each(p, h) {\n\t\tuse(p) }\n\t@@@\n}\nint c(void) { return 1; }\n"
    assert lines(text) == [("a", 1, 1), ("b", 2, 7), ("c", 8, 8)]


def test_a_body_without_an_end_is_left_out_and_said_so() -> None:
    found = find_functions("a.c", "int a(void) { return 1; }\nint b(void) { if (1) { return 1; }\n")
    assert [function.name for function in found.functions] == ["a"]
    assert [(left.line, left.reason) for left in found.left_out] == [(2, NO_END)]


@pytest.mark.parametrize(
    "body", ["{}", "{ }", "{\n\n}", "{ /* nothing */ }", "{\n\t// nothing\n}", "{\n#if 0\n#endif\n}"]
)
def test_an_empty_body_is_left_out_and_said_so(body: str) -> None:
    found = find_functions("a.c", f"int a(void)\n{body}\n")
    assert found.functions == ()
    assert [(left.name, left.line, left.reason) for left in found.left_out] == [("a", 1, EMPTY_BODY)]


# Idioms of C: (text, name, line of the name, last line)
C_IDIOMS = {
    "an annotation": (f"static int __init probe(int a){BODY}", "probe", 1, 7),
    "an annotation before": (f"__init static int probe(int a){BODY}", "probe", 1, 7),
    "an annotation of a pointer": (f"void __iomem *map(int a){BODY}", "map", 1, 7),
    "an annotation behind": (f"static void walk(int a) __acquires(lock){BODY}", "walk", 1, 7),
    "annotations with arguments": (f"static __printf(1, 2) void say(const char *f, ...){BODY}", "say", 1, 7),
    "an attribute before": (f"__attribute__((unused)) static int f(int a){BODY}", "f", 1, 7),
    "an attribute between": (f"static int __attribute__((format(printf, 1, 2))) f(int a){BODY}", "f", 1, 7),
    "an attribute of a parameter": (f"int f(int a __attribute__((unused)), int b){BODY}", "f", 1, 7),
    "an attribute that C23 has": (f"[[nodiscard]] int f(int a){BODY}", "f", 1, 7),
    "a macro before": (f"GST_API gboolean gst_f(int a){BODY}", "gst_f", 1, 7),
    "a macro between": (f"static int WINAPI f(int a){BODY}", "f", 1, 7),
    "K&R": (f"int f(a, b)\n\tint a;\n\tchar *b;{BODY}", "f", 1, 9),
    "K&R without a type": (f"main(argc, argv)\n\tint argc;\n\tchar **argv;{BODY}", "main", 1, 9),
    "nothing but a name": (f"main(){BODY}", "main", 1, 7),
    "the type on a line of its own": (f"static struct item *\nfind(int a){BODY}", "find", 2, 8),
    "AUTOSAR": (
        f"FUNC(Std_ReturnType, CAN_CODE) Can_Write(\n    VAR(Hw, AUTOMATIC) Hth,\n    P2CONST(Pdu, AUTOMATIC, APPL) Info){BODY}",
        "Can_Write", 1, 9,
    ),
    "AUTOSAR on two lines": (f"FUNC(void, CAN_CODE)\nCan_Init(P2CONST(Can_Config, AUTOMATIC, X) Config){BODY}", "Can_Init", 2, 8),
    "AUTOSAR with pointers": (f"STATIC FUNC_P2VAR(uint8, AUTOMATIC, X) Get(VAR(uint8, AUTOMATIC) n){BODY}", "Get", 1, 7),
    "a pointer to what is constant": (f"FUNC_P2CONST(uint8, AUTOMATIC, X) Peek(void){BODY}", "Peek", 1, 7),
    "a macro without a semicolon before": (f"EXPORT_SYMBOL(other)\nint f(int a){BODY}", "f", 2, 8),
    "an empty line before": (f"EXPORT_SYMBOL(other)\n\nint f(int a){BODY}", "f", 3, 9),
    "several macros without a semicolon": (f"EXPORT_SYMBOL(other)\nEXPORT_SYMBOL(another)\nint f(int a){BODY}", "f", 3, 9),
    "macros of a module": (f'MODULE_LICENSE("GPL")\nmodule_init(start)\nint f(int a){BODY}', "f", 3, 9),
    "a macro without a semicolon before AUTOSAR": (f"EXPORT(other)\nFUNC(void, CODE) f(VAR(int, AUTO) a){BODY}", "f", 2, 8),
    "a macro that begins a block": (f"G_BEGIN_DECLS\nint f(int a){BODY}", "f", 2, 8),
    "a macro behind": (f"int f(int a){BODY}EXPORT_SYMBOL(f)\n", "f", 1, 7),
    "a system call": (f"SYSCALL_DEFINE2(open, const char __user *, name, int, flags){BODY}", "sys_open", 1, 7),
    "a macro that is a whole head": (f"static MLX5_OP_FILL(ipsec_sw){BODY}", "MLX5_OP_FILL(ipsec_sw)", 1, 7),
    "a test": (f"START_TEST(opens_a_gate){BODY}END_TEST\n", "START_TEST(opens_a_gate)", 1, 7),
    "a loop that is a macro": (
        "int f(struct list *h)\n{\n\tlist_for_each_entry(it, h, node) {\n\t\tn += it->len;\n\t}\n\treturn n;\n}\n", "f", 1, 7,
    ),
    "an expression that is a statement": ("int f(int a)\n{\n\treturn ({ int b = a; b; });\n}\n", "f", 1, 4),
    "braces in a macro of the body": ("int f(int a)\n{\n#define TWICE(x) do { x; x; \\\n\t} while (0) {\n\treturn a;\n}\n", "f", 1, 6),
    "a two-headed function": (f"#ifdef X\nint f(int a, int b)\n#else\nint f(int a)\n#endif{BODY}", "f", 2, 11),
    "an #ifdef in a head": (f"int f(int a,\n#ifdef X\n\tint b,\n#else\n\tlong b,\n#endif\n\tint c){BODY}", "f", 1, 13),
    "an #ifdef before a head": (f"#ifdef X\nstatic\n#endif\nint f(int a){BODY}", "f", 4, 10),
    "two heads, each with its brace": ("#ifdef X\nint f(int a) {\n#else\nint f(int a, int b) {\n#endif\n\treturn a;\n}\n", "f", 2, 7),
    "two branches that open a block": (
        "int f(int a)\n{\n#ifdef X\n\tif (a) {\n#else\n\tif (!a) {\n#endif\n\t\ta++;\n\t}\n\treturn a;\n}\n", "f", 1, 11,
    ),
    "an else branch that is not always there": (
        "int f(int a)\n{\n\tif (a) {\n\t\ta++;\n#ifdef X\n\t} else {\n\t\ta--;\n#endif\n\t}\n\treturn a;\n}\n", "f", 1, 11,
    ),
    "two branches that end the body": ("int f(int a)\n{\n#ifdef X\n\treturn a;\n}\n#else\n\treturn 0;\n}\n#endif\n", "f", 1, 9),
    "branches that do not agree": (
        "int f(int a)\n{\n#ifdef X\n\tif (a) {\n#endif\n\ta++;\n#ifdef Y\n\t}\n#else\n\treturn 1;\n#endif\n\treturn a;\n}\n", "f", 1, 13,
    ),
    "an apostrophe in what is not compiled": ("int f(int a)\n{\n#if 0\n\tdon't {\n#endif\n\treturn a;\n}\n", "f", 1, 7),
    "a comment before the brace": ("int f(int a) /* { */ // {\n{\n\treturn a;\n}\n", "f", 1, 4),
    "a comment in the head": (f"int /* the\nresult */ f(int a /* in */){BODY}", "f", 2, 8),
    "tabs, form feeds": (f"\f\n\tint f(int a){BODY}", "f", 2, 8),
    "a structure": (f"struct item f(struct item a){BODY}", "f", 1, 7),
    "an enumeration before": (f"enum e {{ A, B }};\nstatic enum e f(void){BODY}", "f", 2, 8),
    "an initialiser before": (f"static struct ops o = {{\n\t.f = f,\n}};\nint f(void){BODY}", "f", 4, 10),
    "a nested function": ("int f(int a)\n{\n\tint g(int b) { return b; }\n\treturn g(a);\n}\n", "f", 1, 5),
}  # fmt: skip


@pytest.mark.parametrize("idiom", C_IDIOMS)
def test_idioms_of_c(idiom: str) -> None:
    text, *found = C_IDIOMS[idiom]
    after = "\n/* Next. */\nint next_one(int a) { return a; }\n"
    assert lines(text)[:1] == [tuple(found)]
    assert names(text + after) == [found[0], "next_one"]
    assert names(f"int before(void) {{ return 1; }}\n\n{text}") == ["before", found[0]]


@pytest.mark.parametrize("idiom", C_IDIOMS)
def test_line_ends_of_windows_change_nothing(idiom: str) -> None:
    text = C_IDIOMS[idiom][0]
    assert functions(text.replace("\n", "\r\n")) == functions(text)


# Idioms of C++: (text, names)
CPP_IDIOMS = {
    "a namespace": ("namespace a { namespace b {\nint f() { return 1; }\n} }\n", ["a::b::f"]),
    "a namespace of several": ("namespace a::b {\nint f() { return 1; }\n}\n", ["a::b::f"]),
    "an inline namespace": ("inline namespace v1 {\nint f() { return 1; }\n}\n", ["v1::f"]),
    "a namespace without a name": ("namespace {\nint f() { return 1; }\n}\n", ["f"]),
    "a macro that opens a namespace": ("FMT_BEGIN_NAMESPACE\nint f() { return 1; }\nFMT_END_NAMESPACE\n", ["f"]),
    "a namespace named by a macro": ("namespace NS(a) {\nint f() { return 1; }\n}\nint g() { return 1; }\n", ["f", "g"]),
    "a namespace that is a macro": ("BEGIN_NAMESPACE(a) {\nint f() { return 1; }\n}\nint g() { return 1; }\n", ["f", "g"]),
    "a namespace with an attribute": ("namespace [[deprecated]] a {\nint f() { return 1; }\n}\n", ["a::f"]),
    "a namespace begun by a macro": ("NAMESPACE_BEGIN(a)\nclass A {\n  int f() { return 1; }\n};\nNAMESPACE_END(a)\n", ["A::f"]),
    "extern C": ('extern "C" {\nint f(void) { return 1; }\n}\nextern "C" int g(void) { return 1; }\n', ["f", "g"]),
    "extern C in an #ifdef": (
        '#ifdef __cplusplus\nextern "C" {\n#endif\nint f(void) { return 1; }\n#ifdef __cplusplus\n}\n#endif\nint g() { return 1; }\n',
        ["f", "g"],
    ),
    "methods": ("class V {\n public:\n  int a() const { return 1; }\n private:\n  int b() { return 2; }\n};\n", ["V::a", "V::b"]),
    "a class that a macro exports": ("class API_EXPORT V final : public B<int*> {\n  int a() { return 1; }\n};\n", ["V::a"]),
    "a nested class": ("struct A { class B { int f() { return 1; } }; int g() { return 2; } };\n", ["A::B::f", "A::g"]),
    "a union": ("union U { int a; int f() { return a; } };\n", ["U::f"]),
    "a friend": ("namespace n { class A { friend bool operator<(A a, A b) { return a.x < b.x; } }; }\n", ["n::operator<"]),
    "a template": ("template <typename T, int N = (1 > 0)>\nT f(T a) { return a; }\n", ["f"]),
    "a template of a class": ("template <class T> class A<T*> { T f() { return 1; } };\n", ["A::f"]),
    "a method of a template": ("template <class T>\nT A<T>::f(T a) { return a; }\n", ["A::f"]),
    "a template in a class": ("class V { template <typename T> T Scale(T by) const { return by; } };\n", ["V::Scale"]),
    "a constructor": ("class A { A(int a) : x_(a), y_{a} { use(); } explicit A() { use(); } };\n", ["A::A", "A::A"]),
    "a constructor outside": ("A::A(int a)\n    : x_(a),\n      y_{a}, z_({1})\n{\n  use();\n}\n", ["A::A"]),
    "a destructor": ("class A { virtual ~A() { free(p); } };\nB::~B() { free(p); }\n", ["A::~A", "B::~B"]),
    "operators": (
        "struct A {\n  A &operator=(const A &o) { x = o.x; return *this; }\n  bool operator==(A o) const { return 1; }\n"
        "  int operator()(int a) { return a; }\n  int &operator[](int i) { return p[i]; }\n  A &operator++() { return *this; }\n"
        "  A *operator->() { return this; }\n  void *operator new(size_t n) { return get(n); }\n};\n",
        ["A::operator=", "A::operator==", "A::operator()", "A::operator[]", "A::operator++", "A::operator->", "A::operator new"],
    ),
    "a conversion": ("struct A { explicit operator bool() const { return p; } operator const char *() { return p; } };\n",
                     ["A::operator bool", "A::operator const char *"]),
    "an operator outside": ("std::ostream &operator<<(std::ostream &o, const A &a) { return o; }\n", ["operator<<"]),
    "a trailing type": ("auto f(int a) -> std::vector<int> { return {a}; }\nauto g() -> decltype(x) { return x; }\n", ["f", "g"]),
    "noexcept, override": ("struct A : B { int f() const noexcept(true) override { return 1; } int g() && final { return 1; } };\n",
                           ["A::f", "A::g"]),
    "a try block": ("int f() try { return g(); } catch (...) { return 1; }\nint h() { return 1; }\n", ["f", "h"]),
    "a constructor's try block": ("A::A(int a) try : x(a) { use(); } catch (const E &e) { log(e); }\nint h() { return 1; }\n", ["A::A", "h"]),
    "a lambda stays inside": ("int f() { auto g = [](int a) { return a; }; return g(1); }\n", ["f"]),
    "a lambda of a variable": ("auto g = [](int a) { return a; };\nint f() { return g(1); }\n", ["f"]),
    "a default argument": ("int f(std::vector<int> v = {}, int b = 1) { return b; }\n", ["f"]),
    "a default member": ("struct A { int a{1}; int b = {2}; int f() { return a; } };\n", ["A::f"]),
    "an attribute": ("[[nodiscard]] int f() { return 1; }\nvoid Lock() EXCLUSIVE_LOCK(mu) { mu.lock(); }\n", ["f", "Lock"]),
    "a concept": ("template <typename T> requires (sizeof(T) > 1)\nT f(T a) { return a; }\n", ["f"]),
    "tests": (
        "TEST(Gate, Opens) {\n  use();\n}\nTEST_F(GateTest, Closes) { use(); }\nBOOST_AUTO_TEST_CASE(cycles)\n{\n  use();\n}\n",
        ["TEST(Gate, Opens)", "TEST_F(GateTest, Closes)", "BOOST_AUTO_TEST_CASE(cycles)"],
    ),
    "a raw string": ('const char *s = R"x(}}" {)x";\nint f() { return R"(})"[0]; }\n', ["f"]),
    "digits in groups": ("int f() { return 1'000'000; }\nint g() { return 'a'; }\n", ["f", "g"]),
    "an enum class": ("enum class E : int { A, B };\nint f() { return 1; }\n", ["f"]),
    "a structured binding": ("int f() { auto [a, b] = g(); return a; }\n", ["f"]),
}  # fmt: skip


@pytest.mark.parametrize("idiom", CPP_IDIOMS)
def test_idioms_of_cpp(idiom: str) -> None:
    text, found = CPP_IDIOMS[idiom]
    assert names(text, "a.cpp") == found
    assert names(text + "int next_one() { return 1; }\n", "a.cpp") == [*found, "next_one"]


DEAD = {
    "#if 0": "#if 0\n{dead}#endif\n{live}",
    "#if 0, else": "#if 0\n{dead}#else\n{live}#endif\n",
    "#if 1, else": "#if 1\n{live}#else\n{dead}#endif\n",
    "#if (0) and more": "#if (0) && defined(X)\n{dead}#endif\n{live}",
    "#if false": "#if false // not yet\n{dead}#endif\n{live}",
    "#ifdef of what nobody defines": "#ifdef NEVER\n{dead}#endif\n{live}",
    "#if defined of that": "#if defined(NOTDEF)\n{dead}#else\n{live}#endif\n",
    "#ifndef of that": "#ifndef NEVER\n{live}#else\n{dead}#endif\n",
    "#if of what is not true": "#if !1\n{dead}#endif\n{live}",
    "#if of what is true": "#if 2\n{live}#else\n{dead}#endif\n",
    "#if of a number with a suffix": "#if 0L\n{dead}#endif\n{live}",
    "#else, and more behind it": "#if 1\n#else\n{dead}#endif\n{live}",
    "behind macros": "EXPORT(x)\n#if 0\n{dead}#endif\n{live}",
    "nested": "#if 0\n#ifdef X\n{dead}#else\n{dead}#endif\n#if 1\n{dead}#endif\n#endif\n{live}",
    "a chain": "#if 0\n{dead}#elif defined(X)\n{live}#endif\n",
    "a chain behind what is sure": "#if 1\n{live}#elif defined(X)\n{dead}#else\n{dead}#endif\n",
    "a link of a chain": "#if defined(X)\n{live}#elif 0\n{dead}#endif\n",
    "words and quotes": "#if 0\nIt doesn't work: \"\n{dead}#endif\n{live}",
}


@pytest.mark.parametrize("how", DEAD)
def test_what_is_never_compiled_is_no_example(how: str) -> None:
    live = "/* It lives. */\nint live(void) { return 1; }\n"
    (function,) = functions(DEAD[how].format(dead="int dead(void)\n{\n\treturn 0;\n}\n", live=live))
    assert (function.name, function.text) == ("live", live.strip())
    assert function.signature == "int live(void)"


def test_what_is_never_compiled_is_no_part_of_a_head() -> None:
    (function,) = functions(
        "static\n#if 0\nint dead(int a)\n#else\nint live(int a,\n#if 0\n\tint b,\n#endif\n\tint c)\n#endif\n{ return a; }\n"
    )
    assert (function.name, function.parameters) == ("live", ("a", "c"))
    assert function.signature == "static int live(int a, int c)"


@pytest.mark.parametrize(
    "before",
    ["EXPORT_SYMBOL(a)\n", "EXPORT_SYMBOL(a)\nEXPORT_SYMBOL(b)\n", "DEFINE_MUTEX(a)\n\n", "#if 0\nint dead;\n#endif\n", "G_BEGIN_DECLS\n"],
)  # fmt: skip
def test_what_stands_before_a_function_is_no_part_of_it(before: str) -> None:
    (function,) = functions(f"{before}int f(int a){BODY}")
    assert function.text == f"int f(int a){BODY}".strip()
    assert function.first == function.line == before.count("\n") + 1


def test_functions_in_all_branches_that_may_be_compiled_are_found() -> None:
    text = "#ifdef X\nint a(void) { return 1; }\n#elif defined(Y)\nint b(void) { return 2; }\n#else\nint c(void) { return 3; }\n#endif\n"
    assert names(text) == ["a", "b", "c"]


def test_a_function_of_several_heads_is_whole() -> None:
    (function,) = functions(f"int x;\n#ifdef X\nint f(int a, int b)\n#else\nint f(int a)\n#endif{BODY}")
    assert function.text.startswith("#ifdef X\nint f(int a, int b)\n#else\n")
    assert (function.first, function.last) == (2, 12)
    assert function.signature == "int f(int a, int b)"


def test_methods_are_indented_as_they_were() -> None:
    text = "class A {\n  /// Adds.\n  int add(int a) {\n    return a;\n  }\n};\n"
    (function,) = functions(text, "a.cpp")
    assert function.text == "  /// Adds.\n  int add(int a) {\n    return a;\n  }"
    assert (function.first, function.line, function.last) == (2, 3, 5)


def test_macros_and_labels_of_a_class_are_no_part_of_its_methods() -> None:
    text = "class A : public B {\n  Q_OBJECT\n  Q_PROPERTY(int a)\n public slots:\n  void f() { use(); }\n private:\n  void g() { use(); }\n};\n"
    assert [(f.name, f.text) for f in functions(text, "a.h")] == [
        ("A::f", "  void f() { use(); }"),
        ("A::g", "  void g() { use(); }"),
    ]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("a.c", "class", "C"),
        ("A.CPP", "", "C++"),
        ("x/y.hpp", "", "C++"),
        ("x.C", "", "C++"),
        ("a.h", "struct a { int b; };\nint f(void);\n", "C"),
        ("a.h", "struct class { int new; };\nint delete(int this);\n", "C"),
        (
            "a.h",
            '#ifdef __cplusplus\nextern "C" {\n#endif\nint f(void);\n#ifdef __cplusplus\n}\n#endif\n',
            "C",
        ),
        ("a.h", "// a class\nint f(void); /* std::x */\n", "C"),
        ("a.h", "namespace a {\nclass B {\n public:\n  int c() const { return 1; }\n};\n}\n", "C++"),
        ("a.h", "template <typename T> T max(T a, T b);\n", "C++"),
        ("a.h", "struct A {\n  int a;\n  int b() const { return a; }\n};\n", "C++"),
        ("a.h", "inline int f(const A &a) { return a.b; }\n", "C++"),
        ("a.h", "#include <algorithm>\ninline int f(int a) { return std::max(a, 1); }\n", "C++"),
        ("a.h", "static inline int f(struct class *c) { return c->private & c->class; }\n", "C"),
    ],
)
def test_the_suffix_names_the_language_and_of_a_header_the_grammar_that_reads_more(
    key: str, text: str, expected: str
) -> None:
    assert find_functions(key, text).language == expected


def test_the_comment_above_belongs_to_the_function() -> None:
    text = "int x; /* about x */\n\n/* about nothing */\n\n// First line.\n// Second line.\nint f(void)\n{\n    return 1;\n}\n"
    (function,) = functions(text)
    assert function.text == "// First line.\n// Second line.\nint f(void)\n{\n    return 1;\n}"
    assert function.doc.summary == "First line."
    assert (function.first, function.line, function.last) == (5, 7, 10)


def test_a_comment_at_the_end_of_another_line_belongs_there() -> None:
    (function,) = functions("int x; /* about x */\nint f(void) { return 1; }\n")
    assert function.text == "int f(void) { return 1; }"
    assert function.doc.summary == ""


def test_signatures_parameters_and_calls_are_read() -> None:
    text = "static int\nf(int a,\n  char *b[], void (*c)(int), struct d *)\n{ if (a) g(b); h(a); g(a); /* i(); */ return sizeof(a); }"
    (function,) = functions(text)
    assert function.signature == "static int f(int a, char *b[], void (*c)(int), struct d *)"
    assert function.parameters == ("a", "b", "c")
    assert function.callees == ("g", "h")
    assert function.uses == ()


def test_literals_in_a_head_are_said_as_they_stand() -> None:
    text = (
        'extern "C" int f(const char *s = "a, (b)", char c = \'x\') { return g(s); }\n'
        'TEST_CASE("opens, at once", "[gate]") { use(); }\nTEST_CASE("closes") { use(); }\n'
    )
    found = functions(text, "a.cpp")
    assert found[0].signature == """extern "C" int f(const char *s = "a, (b)", char c = 'x')"""
    said = ["f", 'TEST_CASE("opens, at once", "[gate]")', 'TEST_CASE("closes")']
    assert [function.name for function in found] == said


def test_what_calls_nothing_says_what_it_uses() -> None:
    (function,) = functions("int f(struct gate *a) { return a->state == GATE_OPEN; }")
    assert function.uses == ("state", "GATE_OPEN")


def test_numbers_and_their_suffixes_are_no_names() -> None:
    (function,) = functions("int f(void) { return (state & 0x1Fu) << 3UL | 1e5 | 'c'; }")
    assert function.uses == ("state",)


def test_deep_nesting_is_no_recursion_of_ours() -> None:
    text = "#if X\n" * 3000 + "int f(void) { return 1; }\n" + "#endif\n" * 3000
    assert names(text) == ["f"]
    assert names("{" * 50_000 + "}" * 50_000 + "\nint f(void) { return 1; }\n") == ["f"]


@pytest.mark.parametrize(
    "piece",
    ["{", "}", "(", "#if 0\n", "#if X\n", "#else\n", "int x\n#if A\n#endif\n", "F { } ", "f(", "/*", "template <", "a(b) c;\n", "'", '"', "\\\n", "int f(a) int b;", "namespace a", "using namespace aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b() {", "A::", "a<", "x = ", "}\n\n", "public: ", "A(b)\n", "A(b)\nint c(d) {}\n", "#if 0\n#endif\n", "a\n#if 0\n#endif\n"],
)  # fmt: skip
def test_what_repeats_without_end_is_read_in_time(piece: str) -> None:
    find_functions("a.cpp", piece * (200_000 // len(piece)))


PIECES = ["int ", "f", "(", ")", "{", "}", ";", "*", "/", "\\", '"', "'", "#if 0", "#else", "#endif", "\n", "\r", "\t", "class A", "::", "<", ">", "=", "operator", "é", "𝛼", "try", ":", ","]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=80).map("".join), st.sampled_from(["a.c", "a.cc", "a.h"]))
def test_any_text_can_be_read(text: str, key: str) -> None:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    numbered = plain.split("\n")
    for function in functions(text, key):
        assert function.text in plain
        assert function.text in "\n".join(numbered[function.first - 1 : function.last])
        assert function.first <= function.line <= function.last


TYPES = st.sampled_from(["int", "unsigned long", "struct port", "const char", "gboolean", "u32"])
POINTERS = st.sampled_from([" ", " *", " **", "* "])
WORDS_OF_CODE = st.from_regex(r"[a-z]{2,6}_[a-z0-9]{1,3}", fullmatch=True)
PARAMETERS = st.lists(
    st.tuples(TYPES, POINTERS, WORDS_OF_CODE, st.sampled_from(["", "[]", "[4]"])).map("".join), min_size=1, max_size=4
)  # fmt: skip


@given(
    st.sampled_from(["", "static ", "static inline ", "extern "]),
    st.tuples(TYPES, POINTERS).map("".join),
    WORDS_OF_CODE,
    st.one_of(st.just("void"), st.just(""), PARAMETERS.map(",\n\t".join)),
)
def test_a_plain_head_says_what_the_grammar_reads_in_it(storage: str, of: str, name: str, said: str) -> None:
    head = f"{storage}{of}{name}({said})\n"
    found = read_plain(head, ())
    assert found is not None
    assert found == read_by_grammar(head, (), "C")


@pytest.mark.parametrize(
    "head",
    ["int f(int)", "int f(struct port)", "int f(const x)", "int f(unsigned)", "TEST(a b)", "A::A(int a)"],
)
def test_a_head_that_is_not_plain_is_the_grammars(head: str) -> None:
    assert read_plain(head, ()) is None


def test_a_macro_that_nobody_knows_is_no_parameters_name() -> None:
    (found,) = functions(
        "static int f(u32 __maybe_unused id, struct port __always_unused *p)\n{\n\treturn 1;\n}\n"
    )
    assert found.parameters == ("id", "p")


OF_A_BODY = st.sampled_from(
    ["{", "}", "{ a; }", '"}"', "'{'", "/* } */", "// {\n", "a / b;", "\n", '"\\"{"', "if (a) ", "x;"]
)


@given(st.lists(OF_A_BODY, max_size=12).map("".join))
def test_a_body_ends_at_the_same_brace_with_a_directive_in_it_and_without(body: str) -> None:
    plain, other = (
        lines(f"int f(void)\n{{{line}\n\tx;\n{body}\n}}\n\nint g(void)\n{{\n\ty;\n}}\n")
        for line in ("", "\n#pragma once")
    )
    assert [(name, first + (name == "g"), last + 1) for name, first, last in plain] == other
