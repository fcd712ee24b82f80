"""C sources as the tools see them: text without comments and literals, functions, tracked files.

Line numbers are kept: whatever is blanked out is replaced by spaces.
"""

import os
import re
import subprocess

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*")"""
    r"""|(?P<char>'(?:[^'\\\n]|\\.)*')""",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)


def _blank(text):
    return "".join(c if c == "\n" else " " for c in text)


def without_comments(text):
    """Comments become spaces, literals stay."""
    return _TOKEN.sub(lambda m: _blank(m[0]) if m.lastgroup == "comment" else m[0], text)


def code_only(text):
    """Comments and the inside of literals become spaces."""

    def replace(match):
        if match.lastgroup == "comment":
            return _blank(match[0])
        return match[0][0] + _blank(match[0][1:-1]) + match[0][-1]

    return _TOKEN.sub(replace, text)


def literals(text):
    """Yields (line, literal) for each string literal that is not in a comment."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "text":
            yield text.count("\n", 0, match.start()) + 1, match[0]


def line_at(text, position):
    return text.count("\n", 0, position) + 1


def functions(text):
    """Yields (name, first line, last line) of each function body at file scope, from the line of
    its signature to its closing brace. Preprocessor lines do not count as code."""
    code = _DIRECTIVE.sub(lambda m: _blank(m[0]), code_only(text))
    depth, start, name = 0, 0, None
    begin = 0
    for match in re.finditer(r"[{};]", code):
        at, token = match.start(), match[0]
        if token == "{":
            if depth == 0:
                head = code[begin:at]
                name = _function_name(head)
                start = line_at(code, begin + len(head) - len(head.lstrip()))
            depth += 1
        elif token == "}":
            depth -= 1
            if depth == 0:
                if name:
                    yield name, start, line_at(code, at)
                name, begin = None, at + 1
        elif depth == 0:
            begin = at + 1


def _function_name(head):
    if not head.rstrip().endswith(")") or "=" in head:
        return None
    match = re.search(r"([A-Za-z_]\w*)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head))
    return match[1] if match else None


def tracked_files(root, suffixes, folders):
    """Paths below root, relative and sorted, of files in `folders` that git knows or would add."""
    command = ["git", "-C", root, "ls-files", "-co", "--exclude-standard", "--", *folders]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode == 0:
        paths = set(result.stdout.splitlines())
    else:  # an unpacked archive
        paths = set()
        for folder in folders:
            for where, _, names in os.walk(os.path.join(root, folder)):
                paths |= {os.path.relpath(os.path.join(where, name), root) for name in names}
    return sorted(
        path
        for path in paths
        if path.endswith(suffixes) and os.path.isfile(os.path.join(root, path))
    )


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()
