"""The translation units of ours in a compile_commands.json, with arguments that clang takes."""
import json
import os
import shlex

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What only g++ knows, and its optimization, which costs clang time here and finds nothing.
GCC_ONLY = ("-c", "-Winvalid-pch", "-fpch-preprocess", "-Wno-error=maybe-uninitialized", "-Wno-restrict", "-Wno-tsan")


def arguments(command):
    args = shlex.split(command)
    while not args[0].endswith("++"):  # The compiler launcher.
        args.pop(0)
    # libstdc++ 12 uses its own deprecated get_temporary_buffer inside std::stable_sort, which only clang reports.
    out, skip = ["clang++-19", "-fsyntax-only", "-Wno-deprecated-declarations"], False
    for arg in args[1:]:
        if skip:
            skip = False
        elif arg in ("-o", "-include"):  # -include names the precompiled header: every file must name what it uses itself.
            skip = True
        elif arg not in GCC_ONLY and not arg.startswith("-O"):
            out.append(arg)
    return out


def read(path):
    """(file, directory, arguments) of each, third-party and generated code left out."""
    with open(path, encoding="utf-8") as file:
        entries = json.load(file)
    return [(e["file"], e["directory"], arguments(e["command"])) for e in entries
            if e["file"].startswith(ROOT + "/") and not e["file"].startswith(ROOT + "/build/")]
