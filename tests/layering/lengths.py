#!/usr/bin/env python3
"""lengths.py ROOT [--write | --accept]: a ratchet on the length of files and functions.

No file passes 800 lines. Files over 400 lines and functions over 40 (from the first line of the signature to the closing brace)
stand in tests/layering/lengths.txt with the length they had; none may be added to it and none may grow. What became shorter has
to be lowered there, which --write does; it never raises a number. --accept writes what there is, for a reviewer to see.
"""
import os
import re
import sys

import layering

MAX_FILE, LONG_FILE, LONG_FUNCTION = 800, 400, 40
LIST = "tests/layering/lengths.txt"
NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)
MACRO = re.compile(r"(?:\s*^[A-Z][A-Z0-9_]+\([^()\n]*\)[ ]*$)*", re.M)  # Lines that a macro makes a function of.
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")


def blank(match):
    """Comments and literals, which may hold braces, keep their line breaks only."""
    text = match.group(0)
    return re.sub(r"[^\n]", " ", text) if text.startswith(("//", "/*")) else '"' + "\n" * text.count("\n") + '"'


def name_of(header):
    """The name before the first parenthesis; of a TEST also its case."""
    match = re.search(r"\b(TEST\w*|FUZZ\w*)\s*\(([^)]*)\)", header)
    if match:
        return ".".join(part.strip() for part in match.group(2).split(","))
    match = re.search(r"([\w:~]+|operator\s*\S+?)\s*\(", header)
    return re.sub(r"\s+", "", match.group(1)) if match else "?"


def functions(text):
    """(name, lines) of every function in clang-format's layout; what is inside a function belongs to it."""
    text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m.group(0).count("\n"), NOISE.sub(blank, text), flags=re.M)
    stack, found, start = [], [], 0  # Open braces: "scope", "other" or (name, first line).
    inside = 0                       # How many of them are functions or inside one.
    for at, char in enumerate(text):
        if char == "{":
            start += MACRO.match(text, start).end() - start
            header = text[start:at]
            member = at > 0 and (text[at - 1].isalnum() or text[at - 1] in "_>")  # `: name_{value}`: no space before it.
            if inside or member or header.rstrip().endswith(("=", ",", "(")):
                stack.append("other")
                inside += 1
                continue
            bare = re.sub(r"template\s*<[^{;]*?>\s*(?=[\w\[:])", "", header)
            if "(" in bare and not re.match(r"\s*(namespace|extern)\b", bare) and not re.search(r"[^=!<>]=[^=]", bare.split("(")[0]):
                first = text.count("\n", 0, start + len(header) - len(header.lstrip())) + 1
                stack.append((name_of(bare), first))
                inside += 1
            elif SCOPE.search(bare):
                stack.append("scope")
                start = at + 1
            else:
                stack.append("other")
                inside += 1
        elif char == "}" and stack:
            top = stack.pop()
            if top != "scope":
                inside -= 1
            if isinstance(top, tuple):
                found.append((top[0], text.count("\n", 0, at) + 2 - top[1]))
            if not inside and top != "other":
                start = at + 1
        elif char == ";" and not inside:
            start = at + 1
        elif char == ":" and not inside and re.search(r"\b(public|private|protected)\s*$", text[start:at]):
            start = at + 1
    return found


def measure(root):
    """What is long: "path" or "path name" -> lines. Several functions of one name in a file are numbered."""
    long = {}
    for path in sorted(layering.sources(root)):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        lines = text.count("\n")
        if lines > LONG_FILE:
            long[path] = lines
        seen = {}
        for name, count in functions(text):
            seen[name] = seen.get(name, 0) + 1
            if count > LONG_FUNCTION:
                long[f"{path} {name}" + (f"#{seen[name]}" if seen[name] > 1 else "")] = count
    return long


def read_list(root):
    with open(os.path.join(root, LIST), encoding="utf-8") as file:
        lines = [line.split("#!")[0].strip() for line in file if not line.startswith("# ")]
    return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in lines if line}


def compare(now, stored):
    found = []
    for what, lines in now.items():
        limit = LONG_FUNCTION if " " in what else LONG_FILE
        if " " not in what and lines > MAX_FILE:
            found.append(f"{what}: {lines} lines; no file passes {MAX_FILE}")
        elif lines > stored.get(what, limit):
            known = f"{stored[what]} in {LIST}" if what in stored else str(limit)
            found.append(f"{what}: {lines} lines, may have {known}; make it shorter")
    for what, lines in stored.items():
        if now.get(what, 0) < lines:
            found.append(f"{what}: {lines} lines in {LIST}, {now.get(what, 'fewer than listed')} now; "
                         "run tests/layering/lengths.py . --write")
    return found


def write(root, entries):
    with open(os.path.join(root, LIST), "w", encoding="utf-8") as file:
        file.write("# Long files and functions and their lines; they may only shrink (tests/layering/lengths.py).\n")
        file.writelines(f"{what} {lines}\n" for what, lines in sorted(entries.items()))


def main():
    root, now = os.path.abspath(sys.argv[1]), measure(sys.argv[1])
    if sys.argv[2:] == ["--accept"]:
        write(root, now)
    stored = read_list(root)
    if sys.argv[2:] == ["--write"]:
        stored = {what: min(lines, now[what]) for what, lines in stored.items() if what in now}
        write(root, stored)
    found = compare(now, stored)
    print("\n".join(found + [f"lengths: {len(stored)} long files and functions, {len(found)} violations"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
