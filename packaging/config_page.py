#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the manual page forekey-gate.toml(5) from docs/CONFIG.md.

  config_page.py CONFIG.md VERSION PAGE

Reads as much of Markdown as that document uses: headings, paragraphs, fenced code, tables, `code`,
**bold** and [links](to). Each row of a table becomes an entry: its last column is the text, the first the
key. A line that it does not understand is text.
"""
import re
import sys


def escaped(text):
    """Plain text in which nothing is an escape."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def inline(text):
    """Code and bold in bold type; a link is its text, and the page that it leads to where that is another."""
    out, place = [], 0
    for match in re.finditer(r"`([^`]*)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)]*)\)", text):
        out.append(escaped(text[place:match.start()]))
        code, bold, label, target = match.groups()
        if label is not None:
            label, other = label.replace("`", ""), target.split("#")[0]
            out.append(escaped(label if other in ("", label) else f"{label} ({other})"))
        else:
            out.append("\\fB" + escaped(code if code is not None else bold.replace("`", "")) + "\\fR")
        place = match.end()
    line = "".join(out) + escaped(text[place:])
    return "\\&" + line if line[:1] in (".", "'") else line


def cells(row):
    """The columns of a table's row; a bar within code is no border."""
    parts, current, in_code = [], "", False
    for char in row.strip().strip("|"):
        if char == "`":
            in_code = not in_code
        if char == "|" and not in_code:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    return parts + [current.strip()]


def entry(row):
    """A key, its default, and what it means."""
    key, *middle, meaning = cells(row)
    lines = [".TP", inline(key)]
    for default in middle:
        said = "Must be set." if default.startswith("must be set") else f"Default: {inline(default)}."
        lines += [said, ".br"]
    return lines + [inline(meaning) if meaning else "\\&"]


def page(document, version):
    lines = [f'.TH FOREKEY\\-GATE.TOML 5 "" "Forekey {version}" "Forekey"', ".SH NAME",
             "forekey\\-gate.toml \\- the configuration of a Forekey gate", ".SH DESCRIPTION"]
    in_code, in_table, paragraph = False, False, []

    def new_paragraph():
        if not lines[-1].startswith((".SH", ".SS")):
            lines.append(".PP")

    def flush():
        if paragraph:
            new_paragraph()
            lines.append(inline(" ".join(paragraph)))
            paragraph.clear()

    for line in document.splitlines():
        if line.startswith("```"):
            flush()
            in_code = not in_code
            if in_code:
                new_paragraph()
            lines.append(".nf" if in_code else ".fi")
        elif in_code:
            code = escaped(line) or "\\&"
            lines.append("\\&" + code if code[0] in (".", "'") else code)
        elif line.startswith("##"):
            flush()
            title = escaped(line.lstrip("# ").replace("`", ""))
            lines.append(f".SS {title}" if line.startswith("### ") else f".SH {title.upper()}")
        elif re.match(r"^\|[-| ]+\|$", line):
            in_table = True  # what stood above was its head
        elif line.startswith("|"):
            flush()
            lines += entry(line) if in_table else []
        elif line.strip() and not line.startswith("# "):
            in_table = False
            paragraph.append(line.strip())
        else:
            flush()
            in_table = False
    flush()
    lines += [".SH SEE ALSO", "\\fBforekey\\-gate\\fR(1)"]
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    document = open(sys.argv[1], encoding="utf-8").read()
    with open(sys.argv[3], "w", encoding="utf-8") as out:
        out.write(page(document, sys.argv[2]))


if __name__ == "__main__":
    main()
