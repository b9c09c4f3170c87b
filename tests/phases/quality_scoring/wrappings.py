"""One good function, in what models put around it. `WRAPPED` has every form by name."""

from __future__ import annotations

import html
import json

PROMPT = "Write a C function `gate_note` that notes in a log how late a frame passes its TSN gate."
TYPES = """#include <stdint.h>
#include <stdio.h>

struct gate {
    uint64_t open_ns;
};

struct gate_log {
    uint64_t worst;
    char text[32];
};

"""
FUNCTION = r"""/**
 * @brief Note how late a frame passes its gate.
 * @param log log to write to
 * @param gate gate that the frame passes
 * @param now_ns gPTP timestamp in ns
 * @return 0, or -1 where the frame is early
 */
static int gate_note(struct gate_log *log, const struct gate *gate, uint64_t now_ns)
{
    uint64_t late = 0U;

    if (log == NULL || gate == NULL || now_ns < gate->open_ns) {
        return -1; /* don't count it */
    }
    late = now_ns - gate->open_ns;
    if ((late & 0xFFU) != 0U && late > log->worst) {
        log->worst = late;
        (void)snprintf(log->text, sizeof(log->text), "late: %llu ns\n", (unsigned long long)late);
    }
    return 0;
}
"""
GOOD = TYPES + FUNCTION
POOR = "int gate_note(void *log, void *gate, long n) { goto x; x: return malloc(n) != 0; }\n"
DRAFT = "Maybe:\n```c\nint gate_note(\n```\nno, that is wrong.\n"


def led(text: str, by: str) -> str:
    """Each line with something before it; an empty one with that alone, without blanks at its end."""
    return "".join((by + line if line.strip() else by.rstrip(" ") + line) for line in text.splitlines(True))


def fenced(info: str = "c", code: str = GOOD, mark: str = "```") -> str:
    return f"{mark}{info}\n{code}{mark}\n"


def numbered(form: str) -> str:
    return "".join(form.format(n) + line for n, line in enumerate(GOOD.splitlines(True), 1))


NEW_FILE = f"--- /dev/null\n+++ b/src/gate.c\n@@ -0,0 +1,{GOOD.count(chr(10))} @@\n{led(GOOD, '+')}"
CHANGED = led(GOOD, " ").replace("     uint64_t late = 0U;", "-    int late;\n+    uint64_t late = 0U;")
IN_JSON = json.dumps({"language": "c", "explanation": "It notes; { }", "code": GOOD}, indent=2)

INFOS = (
    *(
        "",
        "c",
        "C",
        "c++",
        "cpp",
        "C11",
        "c99",
        "c17",
        "c2x",
        "gnu-c",
        "gnu11",
        "ansi c",
        "C/C++",
        "text",
        "plaintext",
    ),
    *(
        "gate.c",
        "src/gate.c",
        "src/gate.h",
        "c:src/gate.c",
        'c title="gate.c"',
        "filename=gate.c",
        "{.c}",
        "language-c",
    ),
    *('{.c .numberLines startFrom="1"}', "c {linenos=true}", "c showLineNumbers", "C (ISO C11)", "c,ignore"),
)

PAGE: dict[str, str] = {
    "nothing around it": GOOD,
    "a fence, words around it": f"Here it is:\n\n{fenced()}\nIt doesn't wrap.\n",
    "a fence of tildes": fenced(mark="~~~"),
    "a fence that says a file's name": fenced("src/gate.c"),
    "a fence in a list": "1. Write it:\n\n" + led(fenced(), "   "),
    "a fence in a quotation": led(fenced(), "> "),
    "a fence that nothing closes": f"Sure:\n```c\n{GOOD}",
    "an end of a fence alone": f"{GOOD}```\n\nIt's fast.\n",
    "a block indented by four": f"Here's the function:\n\n{led(GOOD, '    ')}\nIt's fast; don't worry.\n",
    "words around it, no marks": f"Sure! Here's the function:\n\n{GOOD}\nIt doesn't allocate.\n\n**Notes:**\n- no heap\n",
    "types and function in two fences": f"{fenced(code=TYPES)}The function:\n{fenced(code=FUNCTION)}",
    "an example of its use behind it": fenced()
    + "\nUsage:\n```c\nint main(void)\n{\n    return gate_note(0, 0, 3);\n}\n```\n",
    "an alternative behind it": f"{fenced()}Alternatively:\n{fenced(code=POOR)}",
    "a draft it corrects before it": f"{fenced(code=POOR)}That leaks. The corrected version:\n{fenced()}",
    "a shell's commands beside it": f"{fenced()}Compile it:\n```sh\ngcc -c gate.c && echo {{\n```\n",
    "a `<think>` before it": f"<think>\n{DRAFT}</think>\n\n{fenced()}",
    "a `</think>` whose beginning is not there": f"{DRAFT}</think>\n\n{fenced()}",
    "a JSON object": IN_JSON,
    "a JSON string": json.dumps(GOOD),
    "escaped for HTML": fenced(code=html.escape(GOOD)),
    "a diff of a new file": fenced("diff", NEW_FILE),
    "a diff of a change": fenced("diff", f"--- a/gate.c\n+++ b/gate.c\n@@ -1,9 +1,9 @@\n{CHANGED}"),
    "numbered lines": fenced(code=numbered("{:4} | ")),
    "a shell that writes the file": fenced("bash", f"cat > gate.c <<'EOF'\n{GOOD}EOF\ngcc -c gate.c\n"),
    "line ends of Windows, a byte-order mark": "\ufeff" + fenced().replace("\n", "\r\n"),
}
"""Those that the page shows."""

WRAPPED: dict[str, str] = {
    **PAGE,
    **{f"fence: {info}": f"Here:\n\n{fenced(info)}\nBye.\n" for info in INFOS},
    "longer fence": fenced(mark="`````"),
    "longer end": f"```c\n{GOOD}``````\n",
    "list without its indentation": f"1. Do:\n   ```c\n{GOOD}   ```\n2. Done.\n",
    "list by tabs": "1.\tDo:\n" + led(fenced(), "\t"),
    "list at the fence": "- " + led(fenced(), "  ")[2:],
    "quotation without a fence": f"He wrote:\n\n{led(GOOD, '> ')}",
    "end behind code": f"```c\n{GOOD.rstrip()}```\nThat's all.\n",
    "end before words": f"```c\n{GOOD}``` That's all you need.\n\nIt is fast.\n",
    "fence behind words": f"Here you are: ```c\n{GOOD}```\nBye.\n",
    "indented by a tab": f"Here's the function:\n\n{led(GOOD, chr(9))}\nIt's fast.\n",
    "words that touch it": f"Here is the code:\n{GOOD}This function returns 0 when all is well.\n",
    "headings": f"# Solution\n\n{GOOD}\n## Explanation\n\n1. It checks its arguments.\n2. It notes.\n",
    "copied from a page": f"c\nCopy code\n{GOOD}",
    "role": f"assistant\n{GOOD}",
    "page": f'<p>Here:</p>\n<pre><code class="language-c">{html.escape(GOOD)}</code></pre>\n<p>Done.</p>\n',
    "escaped twice": fenced(code=html.escape(html.escape(GOOD))),
    "escaped, no fence": html.escape(GOOD, quote=False),
    "JSON in a fence": f"Here:\n{fenced('json', IN_JSON + chr(10))}",
    "JSON in words": f"Here: {json.dumps({'code': GOOD})}\nBye.",
    "JSON with Markdown": json.dumps({"answer": f"Here:\n{fenced()}"}),
    "JSON with two files": json.dumps(
        {"files": [{"path": "g.h", "content": TYPES}, {"path": "g.c", "content": FUNCTION}]}
    ),
    "JSON that breaks off": json.dumps({"code": GOOD})[:-2],
    "JSON with line ends in it": '{"code": "' + GOOD.replace("\\", "\\\\").replace('"', '\\"') + '"}',
    "escaped in one line": json.dumps(GOOD)[1:-1],
    "diff by git": f"diff --git a/gate.c b/gate.c\nnew file mode 100644\nindex 0000000..1234567\n{NEW_FILE}",
    "diff of two files": fenced(
        "diff", f"--- a/Makefile\n+++ b/Makefile\n@@ -1 +1,2 @@\n all:\n+\tcc {{\n{NEW_FILE}"
    ),
    "diff without heads": fenced("diff", led(GOOD, "+")),
    "patch of an agent": f"*** Begin Patch\n*** Add File: gate.c\n{led(GOOD, '+')}*** End Patch\n",
    "search and replace": fenced(
        code=f"<<<<<<< SEARCH\nint gate_note(void);\n=======\n{GOOD}>>>>>>> REPLACE\n"
    ),
    "numbers without a fence": numbered("{:4}\t"),
    "draft of another tag": f"<scratchpad>\n{DRAFT}</scratchpad>\n<answer>\n{fenced()}</answer>\n",
    "draft that speaks of tags": f"<think> I put it in <think> tags. </think>\n{fenced()}",
    "draft that ends twice": f"{fenced(code=POOR)}<think>\n{DRAFT}</think>\n{fenced(code=POOR)}</think>\n{fenced()}",
    "draft behind it": f"{fenced()}<reasoning>\n{DRAFT}",
    "draft of Granite 3.2": f"Here is my thought process:\n{DRAFT}Here is my response:\n{fenced()}",
    "draft of Granite 3.3": f"<think>Let me see.\n{DRAFT}</think><response>{fenced()}</response>",
    "draft of Magistral": f"[THINK]\n{DRAFT}[/THINK]{fenced()}",
    "channels": f"<|channel|>analysis<|message|>int x( ...<|end|><|start|>assistant<|channel|>final<|message|>{fenced()}",
    "marks of a template": f"<|start_of_role|>assistant<|end_of_role|>{fenced()}<|end_of_text|>",
    "mark at the end": f"{GOOD}<|im_end|>",
    "tag without a fence": f"I'd do this.\n<answer>\n{GOOD}</answer>\nIt's fine.\n",
    "artifact": f'Here:\n<antArtifact identifier="gate" language="c">\n{GOOD}</antArtifact>\nDone.\n',
    "CDATA": f'<file path="gate.c"><![CDATA[\n{GOOD}]]></file>\n',
    "Markdown in Markdown": fenced("markdown", f"# Gate\n\n{fenced()}\nIt notes.\n"),
    "Markdown in a longer fence": fenced("markdown", f"# Gate\n\n{fenced()}", "````"),
    "two nameless fences": f"{fenced('', TYPES)}Then:\n{fenced('', FUNCTION)}",
    "a fence of C and a nameless one": f"{fenced('c', TYPES)}Then:\n{fenced('', FUNCTION)}",
    "statements that use it": f"{fenced()}\nCall it:\n```c\nif (gate_note(&log, &gate, now()) != 0) {{\n    drop();\n}}\n```\n",
    "a caller": f"{fenced()}\nHow to use it:\n```c\nvoid on_frame(void)\n{{\n    gate_note(&the_log, &the_gate, 1);\n}}\n```\n",
    "nameless commands": f"{fenced('')}Compile:\n```\ngcc -Wall -c gate.c\n```\n",
    "output": f"{fenced()}Output:\n```text\nlate: {{3}} ns; ok\n```\n",
    "what not to do": f"Don't do this:\n{fenced(code=POOR)}Do this:\n{fenced()}",
    "steps, then the whole": f"{fenced(code=TYPES)}Then:\n{fenced(code=FUNCTION)}The complete file:\n{fenced()}",
    "LaTeX": f"\\begin{{lstlisting}}[language=C]\n{GOOD}\\end{{lstlisting}}\n",
    "reStructuredText": f"Here::\n\n{led(GOOD, '    ')}",
    "Org": f"#+BEGIN_SRC c\n{GOOD}#+END_SRC\n",
    "BBCode": f"[code=c]\n{GOOD}[/code]\n",
    "AsciiDoc": f"[source,c]\n----\n{GOOD}----\n",
    "YAML": f"code: |\n{led(GOOD, '  ')}",
    "Python string": f'code = """\n{GOOD}"""\n',
    "blanks of a page": GOOD.replace("    ", "\u00a0\u00a0\u00a0 "),
}
