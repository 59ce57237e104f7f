#!/usr/bin/env python3
"""hardening.py PROGRAM…: whether programs of the release build are what CMakeLists.txt asks for, read from the files.

Position independent, every relocation done and sealed before main (RELRO, BIND_NOW), no executable stack, stack protector,
checked libc calls (_FORTIFY_SOURCE), landing pads for indirect calls (-fcf-protection); debug information beside the program, not
in it.
"""
import os
import re
import subprocess
import sys


def read(*command):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout


def checks_calls(path):
    """Whether some call of libc is checked as it runs; a small program may have none where that is needed."""
    return re.search(r"__(mem|str|v?s?n?printf|read|recv|poll|fd|explicit)\w*_chk\b", read("readelf", "--dyn-syms", "-W", path))


def missing(path):
    """What is not as it should be, as readable lines."""
    headers, dynamic = read("readelf", "-hlW", path), read("readelf", "-dW", path)
    symbols, sections = read("readelf", "--dyn-syms", "-W", path), read("readelf", "-SW", path)
    main = read("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", path)
    link = re.search(r"(\S+\.debug)\b", read("readelf", "--string-dump=.gnu_debuglink", path)) if ".gnu_debuglink" in sections else None
    debug = os.path.join(os.path.dirname(path), ".debug", link.group(1)) if link else ""
    wanted = {
        "is not position independent (PIE)": re.search(r"Type:\s+DYN", headers) and re.search(r"FLAGS_1.*\bPIE\b", dynamic),
        "has no GNU_RELRO": "GNU_RELRO" in headers,
        "binds lazily (no BIND_NOW)": re.search(r"BIND_NOW|FLAGS_1.*\bNOW\b", dynamic),
        "has an executable stack": not re.search(r"GNU_STACK.*\bRWE\b", headers),
        "has no stack protector": "__stack_chk_fail" in symbols,
        "has no landing pads (-fcf-protection)": re.search(r"<main>:\s+\S+:\s+endbr64", main),
        "carries debug information": ".debug_info" not in sections,
        "does not say where its debug information is": link,
        "has lost its debug information": debug and os.path.exists(debug) and ".debug_info" in read("readelf", "-SW", debug),
    }
    return [f"{path} {what}" for what, good in wanted.items() if not good]


def main():
    programs = [path for path in sys.argv[1:] if os.path.isfile(path)]
    found = [line for path in programs for line in missing(path)]
    if len(programs) > 1 and not any(checks_calls(path) for path in programs):
        found.append("none of them has checked libc calls (_FORTIFY_SOURCE)")
    print("\n".join(found + [f"hardening: {len(programs)} programs, {len(found)} faults"]))
    return 1 if found or not programs else 0


if __name__ == "__main__":
    sys.exit(main())
