#!/usr/bin/env python3
"""Writes models/text/unicode_table.c: which characters are letters, numbers and white space.

    pip install unicodedata2==16.0.0        (otherwise python's own table is taken, of whatever version)
    python3 tools/unicode_table.py > models/text/unicode_table.c
"""
try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

LETTER, NUMBER, SPACE = "PM_UNICODE_LETTER", "PM_UNICODE_NUMBER", "PM_UNICODE_SPACE"
SHORT = {LETTER: "L", NUMBER: "N", SPACE: "S"}


def kind(code_point):
    category = unicodedata.category(chr(code_point))
    if category[0] == "L":
        return LETTER
    if category[0] == "N":
        return NUMBER
    # White_Space (PropList.txt) is the separators and these controls: tab to carriage return, next line.
    if category[0] == "Z" or code_point in (9, 10, 11, 12, 13, 0x85):
        return SPACE
    return None


def ranges():
    found = []
    for code_point in range(0x110000):
        k = kind(code_point)
        if k is None:
            continue
        if found and found[-1][1] == code_point - 1 and found[-1][2] == k:
            found[-1][1] = code_point
        else:
            found.append([code_point, code_point, k])
    return found


def main():
    print("/* Letters, numbers and white space of Unicode %s. Written by tools/unicode_table.py: change that. */"
          % unicodedata.unidata_version)
    print('#include "text/unicode_table.h"\n')
    for name, short in SHORT.items():
        print("#define %s %s" % (short, name))
    print("\n/* clang-format off */\nconst pm_unicode_range pm_unicode_ranges[] = {")
    line = "   "
    for first, last, k in ranges():
        entry = " {0x%x, 0x%x, %s}," % (first, last, SHORT[k])
        if len(line) + len(entry) > 110:
            print(line)
            line = "   "
        line += entry
    print(line)
    print("};\n/* clang-format on */\n")
    print("const size_t pm_unicode_range_count = sizeof pm_unicode_ranges / sizeof *pm_unicode_ranges;")


main()
