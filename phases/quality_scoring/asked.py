"""The names in a prompt's backquotes: what it asks for, told apart from what it only mentions.

What stands in the backquotes tells (an option, a header, a type, an expression is no function to write), and the words
around them do: `write`, `named`, `shall` ask; `using`, `without`, `called from`, `parameter` mention. Names of which
neither is clear decide nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_TICKED = re.compile(r"`([^`\n]{1,300})`")
_FUNCTION = re.compile(
    r"(?P<type>(?:[A-Za-z_][\w:]*[\s*&]+)*)(?P<name>[A-Za-z_]\w{2,})\s*(?P<arguments>\([^`]*\))?\s*;?"
)
"""`name`, `name(...)`, `static uint32_t name(void);`."""

_COMMON = re.compile(
    "auto|break|case|char|const|continue|default|double|else|enum|extern|float|for|goto|if|inline|int|long|register|"
    "restrict|return|short|signed|sizeof|static|struct|switch|typedef|union|unsigned|void|volatile|while|"
    r"bool|true|false|NULL|main|\w+_t"
)
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]*")
_LIBRARY = frozenset(
    [
        "abort",
        "abs",
        "alloca",
        "assert",
        "atoi",
        "atol",
        "bsearch",
        "bzero",
        "calloc",
        "clock_gettime",
        "close",
        "errno",
        "exit",
        "fclose",
        "fflush",
        "fgets",
        "fopen",
        "fprintf",
        "fputs",
        "fread",
        "free",
        "fscanf",
        "fseek",
        "fwrite",
        "getchar",
        "getenv",
        "gets",
        "gettimeofday",
        "htonl",
        "htons",
        "inet_ntop",
        "inet_pton",
        "ioctl",
        "isalpha",
        "isdigit",
        "isspace",
        "localtime",
        "longjmp",
        "malloc",
        "memcmp",
        "memcpy",
        "memmove",
        "memset",
        "mmap",
        "nanosleep",
        "ntohl",
        "ntohs",
        "open",
        "perror",
        "poll",
        "pow",
        "printf",
        "pthread_create",
        "pthread_mutex_lock",
        "pthread_mutex_unlock",
        "putchar",
        "puts",
        "qsort",
        "rand",
        "read",
        "realloc",
        "recv",
        "recvfrom",
        "recvmsg",
        "scanf",
        "select",
        "send",
        "sendmsg",
        "sendto",
        "setjmp",
        "setsockopt",
        "signal",
        "sleep",
        "snprintf",
        "socket",
        "sprintf",
        "sqrt",
        "srand",
        "sscanf",
        "strcat",
        "strchr",
        "strcmp",
        "strcpy",
        "strdup",
        "strerror",
        "stricmp",
        "strlcpy",
        "strlen",
        "strncat",
        "strncmp",
        "strncpy",
        "strstr",
        "strtod",
        "strtok",
        "strtol",
        "strtoul",
        "time",
        "usleep",
        "va_list",
        "vprintf",
        "vsnprintf",
        "write",
        "errno",
        "stdin",
        "stdout",
        "stderr",
        "size_t",
        "stdint",
        "stdbool",
        "stdlib",
        "stdio",
        "string",
        "stddef",
        "limits",
    ]
)

_WORD = re.compile(r"\n\s*(?:[-*•]|\d+[.)])(?=\s)|[^\W\d_][\w'’-]*|[.;:!?](?=\s|$)|\n\s*\n|[`(),/&]")
_FILLERS = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "its",
        "your",
        "our",
        "is",
        "be",
        "one",
        "single",
        "new",
        "small",
        "short",
        "simple",
        "safe",
        "correct",
        "following",
        "as",
        "it",
        "them",
        "us",
        "me",
        "you",
        "c",
        "c99",
        "c11",
        "c17",
        "ansi",
        "portable",
        "static",
        "inline",
        "pure",
        "public",
        "private",
        "own",
        "both",
        "either",
        "exactly",
        "just",
        "only",
        "please",
        ",",
        "(",
        "/",
        "tsn",
        "avb",
        "carla",
    ]
)
_NOUN = re.compile(
    r"(?:c-)?(?:func\w*|fn|routine|procedure|subroutine|method|callback|handler|helper|funktion|fonction|funci[oó]n)"
)
_NOUN_BEHIND = re.compile(r"\s*(?:c\s+)?(?:function|routine|procedure|method)\b")
_ASKS = re.compile(
    r"(?:re)?writ(?:e|es|ing|ten)|implement(?:s|ing|ed|ation)?|creat(?:e|es|ing)|defin(?:e|es|ing)|provid(?:e|es|ing)|"
    r"giv(?:e|es|ing)|complet(?:e|ing)|cod(?:e|ing)|develop(?:ing)?|design(?:ing)?|build(?:ing)?|mak(?:e|ing)|"
    r"add(?:ing)?|generat(?:e|ing)|produc(?:e|ing)|needs?|wants?|lacks?|missing|fix(?:ing)?|refactor(?:ing)?|"
    r"correct(?:ing)?|optimi[sz](?:e|ing)|port|finish|program|show|name[ds]?|titled|signature|prototype|interface|"
    r"declaration|schreibe?|implementiere|names|task|todo|answer"
)
_MENTIONS = re.compile(
    r"not|no|never|without|don['’]?t|doesn['’]?t|avoid\w*|forbid\w*|prohibit\w*|disallow\w*|than|except|instead|replac\w+|unlike|neither|nor|"
    r"us(?:e[sd]?|ing|age)|via|with|through|by|calls?|calling|invok\w+|based|on|upon|like|similar|see|from|in|into|of|to|for|"
    r"takes?|taking|taken|accepts?|receiv\w+|given|parameters?|arguments?|params?|args?|fields?|members?|variables?|flags?|"
    r"registers?|pointers?|arrays?|buffers?|tables?|types?|structs?|structures?|enums?|unions?|typedefs?|macros?|"
    r"constants?|headers?|includ\w+|options?|compil\w+|returns?|returning|returned|stor\w+|reads?|reading|passes|"
    r"passed|passing|around|wraps?|wrapping|wrapper|before|after|when|if|while|until|against|between|over|per|at|"
    r"inside|within|callers?|files?|modules?|libraries|library|assum\w+|respect\w*|check\w*|handl\w+|values?|global|"
    r"inputs?|outputs?|symbols?|defined|declared|ask[s]?|where"
)
_DENIES = re.compile(
    r"not|never|don['’]?t|doesn['’]?t|without|avoid\w*|no|neither|nor|cannot|can['’]?t|mustn['’]?t"
)
_SUBJECT = re.compile(
    r"\s*(?:shall|should|must|has\s+to|have\s+to|is\s+to|needs?\s+to|will|computes?|returns?|calculates?|checks?|tells?|"
    r"takes?|converts?|decides?|does)\b(?!\s+be\b(?!\s+(?:called|named|able)))"
)
_STATED = re.compile(r"\s*(?:is|are|was|holds?|contains?|means?|has|have|(?:must|shall|should|will)\s+be)\b")
_RULED_OUT = re.compile(
    r"\s*(?:,\s*)?(?:(?:is|are|be|being)\s+)?(?:(?:shall|should|must|may|can|will|do|does)\s*(?:not|n['’]t|never)\b|cannot\b|(?:is|are)\s+"
    r"(?:not\b|never\b|forbidden|prohibited|banned|disallowed|unavailable|off\b|already\b|given\b|defined\b|declared\b|"
    r"provided\b|available\b)|not\s+allowed|calls?\b|will\s+call|"
    r"(?:input\s+)?(?:parameters?|arguments?|fields?|members?|macros?|constants?|flags?|types?|structs?|structures?|"
    r"headers?|options?|variables?|registers?|pointers?|arrays?|buffers?|enums?|library|module)\b)"
)
_BETWEEN = re.compile(r"\s*(?:,|/|&|and|or|nor|,\s*(?:and|or|nor))\s*(?:the\s+)?")
_FAR = 8  # words between a name and the word that tells


@lru_cache(maxsize=256)
def named(prompt: str) -> frozenset[str]:
    """The functions that the prompt asks for by name; empty where it names none, or it is not clear which.

    Code it brings along in fences is not looked into. Linear in the length of the prompt. What is `common` to all code
    says nothing about what is asked.
    """
    text = _FENCED.sub(" ", prompt) if "```" in prompt else prompt
    ticks = list(_TICKED.finditer(text))
    roles: list[str] = []
    for n, tick in enumerate(ticks):
        role = _role(text, tick, ticks[n - 1].end() if n else 0)
        if n and role == "" and _BETWEEN.fullmatch(text[ticks[n - 1].end() : tick.start()]):
            role = roles[-1]  # `a`, `b` or `c`
        roles.append(role)
    for n, (here, after) in reversed(list(enumerate(pairwise(ticks)))):  # `a` and `b` are forbidden
        between = text[here.end() : after.start()]
        if roles[n] in ("", "may ask") and roles[n + 1] == "mentions" and _BETWEEN.fullmatch(between):
            roles[n] = "mentions"
    found = [(name, role) for t, role in zip(ticks, roles, strict=True) if (name := _function(t[1], role))]
    return frozenset(n for n, role in found if role == "asks") or frozenset(n for n, _ in found)


def _function(ticked: str, role: str) -> str:
    """The name of the function in the backquotes, if it can be one and the prompt asks for it."""
    bare = ticked.strip()
    found = _FUNCTION.fullmatch(bare)
    if found is None or common(name := found["name"]):
        return ""
    types = found["type"].split()
    if not found["arguments"] and types:  # `struct gate`, `const uint8_t *frame`
        return ""
    if role in ("asks", "may ask") or (role == "" and found["arguments"] and types and name not in _LIBRARY):
        return name
    return ""


def _role(text: str, tick: re.Match[str], since: int) -> str:
    """ "asks", "may ask", "mentions" or "": what the words around the backquotes say of what is in them."""
    behind = text[tick.end() : tick.end() + 60].lower()
    if _RULED_OUT.match(behind):
        return "mentions"
    words = _WORD.findall(text[max(since - 1, tick.start() - 120, 0) : tick.start()].lower())[-_FAR:]
    noun = bool(_NOUN_BEHIND.match(behind))
    if _of_the_asker(tick[1]) and (not words or words[-1] == "," or _ends(words[-1])):
        if _SUBJECT.match(behind):
            return "asks"
        if _STATED.match(behind) and not noun:
            return "mentions"
    at = len(words)
    while at:
        at -= 1
        word = words[at]
        if word == "`" or _ends(word):
            break
        if _NOUN.fullmatch(word):
            noun = True
        elif word == "called" or (
            word in ("call", "calling") and words[at + 1 : at + 2] in (["it"], ["the"])
        ):
            return "mentions" if _denied(words[:at]) else "asks"
        elif word in _FILLERS:
            continue
        elif word == "with" and words[max(0, at - 1) : at] == ["answer"]:
            return "asks"
        elif _ASKS.fullmatch(word):
            return "mentions" if _denied(words[:at]) else "asks"
        elif _MENTIONS.fullmatch(word):
            return "mentions"
        else:
            break
    if _of_the_asker(tick[1]):
        if noun:
            return "asks"
        if not words or _ends(words[-1]):
            return "may ask"
    return ""


def _ends(word: str) -> bool:
    """Whether it is no word, but the end of a sentence, a paragraph, or an item of a list."""
    return word[-1] in ".;:!?" or word[0] == "\n"


def _denied(words: list[str]) -> bool:
    return any(_DENIES.fullmatch(word) for word in words[-3:])


def _of_the_asker(ticked: str) -> bool:
    """Whether it may be a function of the one who asks: neither a constant nor the library's."""
    found = _FUNCTION.fullmatch(ticked.strip())
    return bool(found) and found["name"] not in _LIBRARY and not _CONSTANT.fullmatch(found["name"])  # type: ignore[index]


def common(name: str) -> bool:
    """Whether it is a word of the language, or a name that any code may have (`uint32_t`, `NULL`)."""
    return bool(_COMMON.fullmatch(name))
